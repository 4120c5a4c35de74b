"""What people who watch the federation see."""

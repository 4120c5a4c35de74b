"""What Linux offers to confine a process: each of its means in a module, and who puts them on."""

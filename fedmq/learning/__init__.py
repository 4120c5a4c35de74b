"""Training plans and what runs them."""

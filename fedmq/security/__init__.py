"""Who somebody is, what they signed, and what only they can read."""

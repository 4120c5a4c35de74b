"""A whole federation on one machine, with invented patients, for people who try fedmq."""

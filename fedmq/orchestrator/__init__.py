"""The central program: takes experiments, runs their rounds, keeps their models."""

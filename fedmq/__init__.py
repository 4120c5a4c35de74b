"""Federated learning for hospitals over a message queue."""

__version__ = "0.1.0"

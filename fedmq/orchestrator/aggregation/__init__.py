"""Aggregators: what becomes of a round's updates."""

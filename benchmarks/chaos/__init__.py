"""Chaos: programs of a federation, killed at named steps and at random times."""

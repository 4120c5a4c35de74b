"""What a benchmark says while it works: on stderr, so that stdout has the figures alone."""

import sys


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)

"""How commands speak: data on stdout, talk on stderr, errors as what, why and fix.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished short, 4 refused, 130 left by Ctrl-C.
"""

import json
import sys
from typing import Final

from fedmq.errors import BrokerRefused, FedmqError

FAILED: Final = 1
SHORT: Final = 3
REFUSED: Final = 4
INTERRUPTED: Final = 130


def say(text: str) -> None:
    """Print talk."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command speaks


def show(text: str) -> None:
    """Print data."""
    print(text, flush=True)  # noqa: T201 - a command speaks


def show_json(value: object) -> None:
    """Print data for programs."""
    show(json.dumps(value, indent=2))


def next_command(*commands: str) -> None:
    """Print what people may want to do next."""
    say("next: " + commands[0])
    for command in commands[1:]:
        say("      " + command)


def tell_error(error: FedmqError) -> int:
    """Print an error; return the exit code."""
    say(f"error: {error.what}")
    if error.why:
        say(f"  why: {error.why}")
    if error.fix:
        say(f"  fix: {error.fix}")
    return REFUSED if isinstance(error, BrokerRefused) else FAILED

"""What a command of the command line ends with."""

import json
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    data: str
    talk: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the command prints
        """What the data say."""
        return json.loads(self.data)

    @property
    def ends_with_next(self) -> bool:
        """Whether the last that was said is what to do next."""
        lines = self.talk.splitlines()
        while lines and lines[-1].startswith("      "):
            lines.pop()
        return bool(lines) and lines[-1].startswith("next: ")


class CommandLine(Protocol):
    """Runs one command."""

    def __call__(self, *arguments: str) -> Outcome:
        """Return how `fedmq ARGUMENTS` ends."""

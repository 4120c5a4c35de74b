"""Signs of programs that lead a store or stand by, as files in a folder of it."""

from typing import Final

from pydantic import ValidationError

from fedmq.disk import Disk
from fedmq.errors import StorageError
from fedmq.orchestrator.lease import Sign
from fedmq.transport.home import Home

FOLDER: Final = "lease"
_LEADER: Final = "leader.json"
_STAND_BY: Final = "stand-by."
_MAX_BYTES: Final = 4096


class Signs:
    """The signs of one store."""

    def __init__(self, home: Home) -> None:
        self._disk: Disk = home.disk(FOLDER)

    def leader(self) -> Sign | None:
        """Return the sign of who leads or led last; None where there is none that can be read."""
        return self._read(_LEADER)

    def stand_bys(self) -> dict[str, Sign]:
        """Return the signs of those who stand by or stood by, by program."""
        names = [name for name in self._disk.names() if name.startswith(_STAND_BY)]
        found = [self._read(name) for name in names if not name.endswith(".part")]
        return {sign.program: sign for sign in found if sign is not None}

    def lead(self, sign: Sign) -> None:
        """Put the sign of who leads in the place of the last one.

        Raises:
            StorageError: the disk refuses.
        """
        self._write(_LEADER, sign)

    def stand_by(self, sign: Sign) -> None:
        """Put the sign of who stands by in the place of its last one.

        Raises:
            StorageError: the disk refuses.
        """
        self._write(_STAND_BY + sign.program, sign)

    def leave(self, program: str) -> None:
        """A program stands by no more.

        Raises:
            StorageError: the disk refuses.
        """
        self._disk.remove(_STAND_BY + program)

    def _read(self, name: str) -> Sign | None:
        try:
            return Sign.model_validate_json(self._disk.read(name, 0, _MAX_BYTES))
        except (StorageError, ValidationError):
            return None

    def _write(self, name: str, sign: Sign) -> None:
        # Not synced: after a power cut nobody of before lives.
        part = f"{name}.{sign.program}.part"
        self._disk.remove(part)
        self._disk.write(part, 0, sign.model_dump_json().encode())
        self._disk.rename(part, name)

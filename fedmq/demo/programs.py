"""The programs of a demonstration: started as a user would start them, remembered, ended by pid."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fedmq.errors import HubError
from fedmq.hub.files import replace_file
from fedmq.hub.processes import Process, end_process, start_process

_LAST_LINES: Final = 5


class Programs:
    """The processes of one folder, by name."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = (sys.executable, "-m", "fedmq"),
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`settings` are what the programs' environment says, unless that of this one says it."""
        self._folder = folder
        self._command = command
        self._settings = settings
        self._file = folder / "processes.json"

    def start(self, name: str, command: Sequence[str], home: Path) -> None:
        """Start `fedmq COMMAND` with a home of its own, unless it runs; its log is NAME.log.

        Raises:
            HubError: it ended at once.
        """
        known = self._read()
        if name in known and known[name].is_running():
            return
        process = start_process(
            [*self._command, *command],
            environment={**self._settings, **os.environ, "FEDMQ_HOME": str(home)},
            folder=self._folder,
            log=self.log(name),
        )
        if process is None:
            raise self.ended(name)
        self._write({**known, name: process})

    def log(self, name: str) -> Path:
        """Return where a program's words go."""
        return self._folder / "logs" / f"{name}.log"

    def pids(self) -> dict[str, int]:
        """Return the process id of each program that was started."""
        return {name: process.pid for name, process in self._read().items()}

    def require_running(self) -> None:
        """Return if every program that was started runs.

        Raises:
            HubError: one has ended; the error holds its last words.
        """
        for name, process in self._read().items():
            if not process.is_running():
                raise self.ended(name)

    def stop(self) -> tuple[str, ...]:
        """Return the names of the programs that ran and are ended now."""
        known = self._read()
        running = [name for name, process in known.items() if process.is_running()]
        for process in known.values():
            end_process(process)
        self._file.unlink(missing_ok=True)
        return tuple(running)

    def ended(self, name: str) -> HubError:
        """Return the error that says how a program ended."""
        log = self.log(name)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        words = [line.strip() for line in lines if line.strip()][-_LAST_LINES:]
        return HubError(
            f"{name} has ended",
            why=" | ".join(words) or "it left no word",
            fix=f"read {log}",
        )

    def _read(self) -> dict[str, Process]:
        try:
            content = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return {name: Process(**fields) for name, fields in content.items()}

    def _write(self, processes: dict[str, Process]) -> None:
        content = {name: asdict(process) for name, process in processes.items()}
        replace_file(self._file, json.dumps(content, indent=1))

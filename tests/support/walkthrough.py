"""The walkthrough: the document's commands, run as people run them, in one bash per prompt.

FEDMQ_TEST_DATA=... python -m tests.support.walkthrough writes the document's outputs anew.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import fedmq

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "walkthrough.md"
PATIENCE_S: Final = 120.0
_SHOWN_FOLDER: Final = "/home/you/try"
"""What the document shows in the place of the folder in which its commands ran."""
_BLOCK: Final = re.compile(r"^```(console|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT: Final = re.compile(r"^(\w+)\$ (.*)$")
_DONE: Final = "-- done, with"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command at a prompt, and what the document shows below it."""

    prompt: str
    command: str
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """A file that the document asks for: its first line is a comment with its path."""

    path: str
    text: str


def read_document() -> list[Step | TextFile]:
    """Return what the document asks its readers to do, in order."""
    steps: list[Step | TextFile] = []
    for match in _BLOCK.finditer(DOCUMENT.read_text(encoding="utf-8")):
        kind, text = match.groups()
        if kind == "toml":
            steps.append(TextFile(path=text.splitlines()[0].removeprefix("# "), text=text))
        else:
            steps.extend(_read_console(text))
    return steps


def masked(line: str) -> str:
    """Return a line without what differs from run to run: digests, numbers, widths of columns."""
    line = re.sub(r"fedmq-join-1\.\S+|\b([a-z2-7]{5} ){7,}[a-z2-7]{5}\b", "#", line)
    line = re.sub(r"\b[0-9a-f]{6,}\b", "#", line.replace(_SHOWN_FOLDER, "~"))
    return " ".join(re.sub(r"\d+(\.\d+)?", "#", line).split())


class Shells:
    """One bash for each prompt, all in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shells: dict[str, subprocess.Popen[str]] = {}
        programs = folder / "bin"
        programs.mkdir(parents=True)
        command = programs / "fedmq"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fedmq "$@"\n')
        command.chmod(0o755)
        self._environment = {
            "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(Path(fedmq.__file__).parent.parent),
            "FEDMQ_TEST_DATA": os.environ["FEDMQ_TEST_DATA"],
        }

    def run(self, step: Step) -> tuple[int, list[str]]:
        """Return the exit code of a command and the lines that it said."""
        shell = self._shells.get(step.prompt) or self._start(step.prompt)
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(f"{step.command}\necho '{_DONE}' $?\n")
        shell.stdin.flush()
        lines = []
        watchdog = threading.Timer(PATIENCE_S, lambda: _end(shell))
        watchdog.start()
        try:
            for line in shell.stdout:
                if line.startswith(_DONE):
                    return int(line.removeprefix(_DONE)), lines
                lines.append(line.rstrip("\n").replace(str(self._folder), _SHOWN_FOLDER))
        finally:
            watchdog.cancel()
        raise AssertionError(f"{step.command} did not end: {lines}")

    def write(self, file: TextFile) -> None:
        """Write a file that the document asks for."""
        (self._folder / file.path).write_text(file.text)

    def close(self) -> None:
        """End every shell with what it has started, and the hub."""
        for shell in self._shells.values():
            _end(shell)
        home = self._folder / "centre"
        if home.exists():
            down = [sys.executable, "-m", "fedmq", "hub", "down"]
            environment = {**self._environment, "FEDMQ_HOME": str(home)}
            subprocess.run(down, env=environment, check=False, capture_output=True)  # noqa: S603

    def _start(self, prompt: str) -> subprocess.Popen[str]:
        shell = subprocess.Popen(
            ["bash", "--norc"],  # noqa: S607 - the readers' own
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._shells[prompt] = shell
        return shell


@contextmanager
def open_shells(folder: Path) -> Iterator[Shells]:
    """Yield the shells; whatever they have started is ended."""
    shells = Shells(folder)
    try:
        yield shells
    finally:
        shells.close()


def write_outputs() -> None:
    """Run the document and put in what its commands say now."""
    answers: list[str] = []
    with tempfile.TemporaryDirectory() as place, open_shells(Path(place) / "try") as shells:
        for step in read_document():
            if isinstance(step, TextFile):
                shells.write(step)
                continue
            code, lines = shells.run(step)
            assert code == 0, (step, lines)
            answers.append("\n".join([f"{step.prompt}$ {step.command}", *lines]))
    remaining = iter(answers)

    def renew(match: re.Match[str]) -> str:
        if match[1] == "toml":
            return match[0]
        texts = [next(remaining) for _ in _read_console(match[2])]
        return "```console\n" + "\n".join(texts) + "\n```"

    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(_BLOCK.sub(renew, text), encoding="utf-8")


def _read_console(text: str) -> list[Step]:
    steps: list[tuple[str, str, list[str]]] = []
    for line in text.splitlines():
        match = _PROMPT.match(line)
        if match:
            steps.append((match[1], match[2], []))
        else:
            steps[-1][2].append(line)
    return [
        Step(prompt=prompt, command=command, shown=tuple(shown)) for prompt, command, shown in steps
    ]


def _end(shell: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()
    for pipe in (shell.stdin, shell.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


if __name__ == "__main__":
    write_outputs()

"""How commands speak: data apart from talk, errors whole, exit codes by what went wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fedmq
from fedmq.cli.console import (
    next_command,
    say,
    screen_width,
    show,
    show_json,
    show_json_line,
    show_table,
    tell_error,
)
from fedmq.errors import (
    BrokerRefused,
    BrokerUnavailable,
    ConfigurationError,
    FedmqError,
    StorageError,
)


def test_data_and_talk_go_their_own_ways(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe gets the data alone."""
    say("working")
    show("1")
    next_command("fedmq a", "fedmq b")
    said = capsys.readouterr()
    assert said.out == "1\n"
    assert said.err == "working\nnext: fedmq a\n      fedmq b\n"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_what_a_screen_cannot_show_or_would_obey_is_spelt_out(encoding: str) -> None:
    """Names of files are anyone's: no colours come of them, and no traceback."""
    code = "from fedmq.cli.console import say, show\n"
    code += "for tell in (say, show): tell('\\x1b[31mred \\udce9 \\u0151\\n\\tnext')"
    done = subprocess.run(  # noqa: S603 - fixed words
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"},
        capture_output=True,
        check=False,
    )
    shown = r"\x1b[31mred \udce9 " + ("ő" if encoding == "utf-8" else r"\u0151") + "\n\tnext\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, shown.encode(), shown.encode())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("it failed", why="because", fix="do this"), 1),
        (StorageError("it failed", why="because", fix="do this"), 1),
        (BrokerUnavailable("it failed", why="because", fix="do this"), 1),
        (BrokerRefused("it failed", why="because", fix="do this"), 4),
    ],
)
def test_an_error_is_told_by_what_why_and_fix(
    error: FedmqError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr; refused is another code than failed."""
    assert tell_error(error) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: it failed\n  why: because\n  fix: do this\n"


def test_what_an_error_does_not_say_has_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No empty labels."""
    tell_error(FedmqError("it failed"))
    assert capsys.readouterr().err == "error: it failed\n"


def test_json_is_one_document_or_one_for_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Both begin with the version of their shape."""
    show_json({"nodes": []})
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "nodes": []}
    show_json_line({"kind": "a"})
    show_json_line({"kind": "b"})
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["a", "b"]
    assert all(line.startswith('{"schema_version": 1') for line in lines)


def test_a_table_in_a_pipe_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is cut, and a note is one line."""
    assert screen_width() is None
    show_table(("name", "about"), [("a", "b" * 300)], ["c " * 200])
    assert capsys.readouterr().out.splitlines() == [
        "name  about",
        "a     " + "b" * 300,
        "    " + "c " * 200,
    ]


def test_on_a_screen_no_line_is_wider_than_it() -> None:
    """A process whose stdout is a terminal of 50 columns."""
    code = (
        "from fedmq.cli.console import show_table\n"
        "show_table(('name', 'about'), [('a', 'b' * 300)], ['word ' * 40])"
    )
    import fcntl
    import struct
    import termios

    leader, terminal = os.openpty()
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
        environment = {**os.environ, "PYTHONPATH": str(Path(fedmq.__file__).parent.parent)}
        subprocess.run(  # noqa: S603 - our own interpreter and text
            [sys.executable, "-c", code], stdout=terminal, env=environment, check=True
        )
        lines = os.read(leader, 10_000).decode().splitlines()
    finally:
        os.close(leader)
        os.close(terminal)
    assert len(lines) > 3
    assert max(map(len, lines)) <= 50
    assert lines[1].endswith("…")

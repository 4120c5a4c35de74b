"""Processes: a pid is believed only with the time at which it began."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.hub.processes import Process, end_process, find_process, start_process, wait_for_end

SLEEP = "import time; time.sleep(60)"


def start(folder: Path, code: str = SLEEP) -> Process:
    """Return a running Python."""
    process = start_process(
        [sys.executable, "-c", code], environment={}, folder=folder, log=folder / "log"
    )
    assert process is not None
    return process


def test_a_process_runs_until_it_is_ended(tmp_path: Path) -> None:
    """Ending one that has ended does nothing."""
    process = start(tmp_path)
    assert process.is_running()
    end_process(process)
    assert not process.is_running()
    end_process(process)


def test_a_later_process_with_the_same_pid_is_another(tmp_path: Path) -> None:
    """It does not run under the earlier one's name, and gets none of its signals."""
    process = start(tmp_path)
    earlier = replace(process, started=process.started - 1)
    assert not earlier.is_running()
    earlier.send(signal.SIGKILL)
    end_process(earlier)
    assert process.is_running()
    end_process(process)


def test_a_process_that_ended_by_itself_is_not_running(tmp_path: Path) -> None:
    """Although Linux keeps a zombie until somebody asks for its end."""
    process = start(tmp_path, "")
    assert wait_for_end(process)
    assert find_process(process.pid) is None


def test_a_process_has_a_session_of_its_own(tmp_path: Path) -> None:
    """It outlives the terminal of the one who started it, and the interrupt that is typed there."""
    process = start(tmp_path)
    assert os.getsid(process.pid) == process.pid
    end_process(process)


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """The caller knows what to install."""
    with pytest.raises(FileNotFoundError):
        start_process([str(tmp_path / "no")], environment={}, folder=tmp_path, log=tmp_path / "log")

"""The policy file: strict without one, refused where it is wrong, read again when it changes."""

import os
import time
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from fedmq.errors import ConfigurationError
from fedmq.node.hours import parse_hours
from fedmq.node.policy import Policy
from fedmq.node.policy_file import PolicyFile, PolicyTable, read_policy, table_of

WHOLE = """\
min_cases = 20
min_nodes = 4
require_study = false
approvals_needed = 2
max_approval_days = 90
max_payload_mb = 500
max_rounds_per_day = 12
paused = true
hours = ["mon-fri 19:00-07:00", "sat-sun"]
time_zone = "Europe/Paris"
devices = ["cpu", "cuda:0"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file may be."""
    return tmp_path / "policy.toml"


def test_without_a_file_the_policy_is_strict(path: Path) -> None:
    """Nobody who forgets it gives anything away."""
    policy = read_policy(path)
    assert policy == Policy()
    assert (policy.min_cases, policy.min_nodes, policy.require_study) == (10, 3, True)
    path.write_text("")
    assert read_policy(path) == policy


def test_every_key_is_read(path: Path) -> None:
    """And shown as it was written."""
    path.write_text(WHOLE)
    policy = read_policy(path)
    assert policy == Policy(
        min_cases=20,
        min_nodes=4,
        require_study=False,
        approvals_needed=2,
        max_approval_days=90,
        max_payload_bytes=500_000_000,
        max_rounds_per_day=12,
        is_paused=True,
        hours=parse_hours(["mon-fri 19:00-07:00", "sat-sun"]),
        zone=ZoneInfo("Europe/Paris"),
        devices=("cpu", "cuda:0"),
    )
    table = table_of(policy)
    assert set(table) == set(PolicyTable.model_fields)
    assert table["hours"] == ["mon,tue,wed,thu,fri 19:00-07:00", "sat,sun 00:00-24:00"]
    assert (table["time_zone"], table["max_payload_mb"]) == ("Europe/Paris", 500)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("min_case = 5", "no key 'min_case'"),
        ("min_cases = 0", "min_cases cannot be used"),
        ("min_cases = '5'", "min_cases cannot be used"),
        ("min_cases = true", "min_cases cannot be used"),
        ("min_nodes = 0", "min_nodes cannot be used"),
        ("approvals_needed = 0", "approvals_needed cannot be used"),
        ("max_rounds_per_day = 0", "max_rounds_per_day cannot be used"),
        ("paused = 'no'", "paused cannot be used"),
        ("hours = 'sat'", "hours cannot be used"),
        ("hours = ['sat 7-8']", "hours: 'sat 7-8' are no hours"),
        ("time_zone = 'Mars/Base'", "time_zone 'Mars/Base' is not known"),
        ("time_zone = '../etc'", "time_zone '../etc' is not known"),
        ("devices = ['gpu']", "devices.0 cannot be used"),
        ("devices = []", "devices cannot be used"),
        ("[limits]\nmin_cases = 5", "no key 'limits'"),
        ("min_cases =", "is no TOML"),
    ],
)
def test_what_is_wrong_is_refused_by_name(path: Path, line: str, words: str) -> None:
    """At the start of the node and at `fedmq node policy check`, with why and fix."""
    path.write_text(line + "\n")
    for read in (read_policy, PolicyFile):
        with pytest.raises(ConfigurationError) as caught:
            read(path)
        assert words in caught.value.what
        assert caught.value.why
        assert caught.value.fix


def test_a_file_is_read_again_when_it_changes(path: Path) -> None:
    """Without a start; also one that was not there before."""
    policy = PolicyFile(path)
    assert policy.read() == Policy()
    path.write_text("paused = true\n")
    assert policy.read() == replace(Policy(), is_paused=True)
    path.write_text("paused = false\n")
    assert policy.read() == Policy()


def test_a_file_that_stays_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at for each message; its times say that nothing has changed."""
    path.write_text("paused = true\n")
    later = time.time_ns() + 60 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    file = PolicyFile(path)
    monkeypatch.setattr(Path, "read_bytes", None)
    assert file.read().is_paused


def test_a_change_that_keeps_length_and_times_is_found(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a copy that preserves them makes it: Linux has a time that nobody can set."""
    path.write_text("min_cases = 50\n")
    before = path.stat()
    file = PolicyFile(path)
    later = time.time_ns() + 60 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert file.read().min_cases == 50
    path.write_text("min_cases = 60\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.read().min_cases == 60


@pytest.mark.parametrize("spoil", ["min_cases = 0", "what =", None])
def test_a_file_that_breaks_leaves_the_last_good_policy_in_force(
    path: Path, spoil: str | None
) -> None:
    """Loudly; a file that goes may not open what it closed."""
    path.write_text("paused = true\nmin_cases = 50\n")
    file = PolicyFile(path)
    good = file.read()
    path.unlink() if spoil is None else path.write_text(spoil)
    with capture_logs() as logs:
        for _ in range(3):
            assert file.read() == good
    assert [line["event"] for line in logs] == ["policy_unreadable"]
    assert logs[0]["log_level"] == "warning"
    path.write_text("min_cases = 60\n")
    with capture_logs() as logs:
        assert file.read() == Policy(min_cases=60)
    assert [line["event"] for line in logs] == ["policy_changed"]

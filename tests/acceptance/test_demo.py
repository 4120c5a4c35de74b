"""The demonstration, as its first users run it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.hub.processes import find_process
from fedmq.imaging.synthetic import SITES
from tests.support.federation import Federation, until

pytestmark = [pytest.mark.rabbitmq, pytest.mark.hub_broker, pytest.mark.timeout(900)]

DEMO = "demo"
DEMO_S = 300.0
"""It trains a network at four nodes: minutes where the machine has other work too."""


def processes_of(home: Path) -> dict[int, str]:
    """Return the processes whose environment says that they belong to a home."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"FEDMQ_HOME={home}" in (
                entry / "environ"
            ).read_bytes().decode(errors="replace"):
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it ended meanwhile
    return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Federation]:
    """Return a place with the demonstration's home in it, which is taken down in the end."""
    place = Federation(tmp_path / "f")
    yield place
    place.close()
    place.fedmq(DEMO, "down")


def test_the_demo_shows_rounds_and_a_summary_and_goes_down_without_a_trace(
    place: Federation,
) -> None:
    """Twice in the same home: the second time finds what the first one left."""
    home = place.home(DEMO)
    home.mkdir()
    for rounds in (2, 1):
        shown = place.start("demo", DEMO, DEMO, "--rounds", str(rounds), "--keep")
        assert shown.wait(DEMO_S) == 0, shown.log()
        lines = shown.log().splitlines()
        assert not [line for line in lines if line.startswith("-- ")], "a trainer's own log"
        rows = [line.split() for line in lines if re.match(rf" +\d of {rounds} ", line)]
        assert [" ".join(row[:6]) for row in rows] == [
            f"{number} of {rounds} 4 of 4" for number in range(1, rounds + 1)
        ]
        for words in ("federation  ", "all cases pooled", "best site alone"):
            (line,) = [line for line in lines if line.strip().startswith(words)]
            assert re.search(r" 0\.\d{4}", line)
        uploads = [float(row[9]) for row in rows]
        assert len(set(uploads)) == 1, "nodes' updates alone, no initial parameters"
        (model,) = [line.split()[1] for line in lines if line.startswith("model ")]
        assert not Path(model).is_absolute(), "typed from where it was run"
        assert (home / model).is_file()
        assert "next: FEDMQ_HOME=. fedmq status" in lines, "it was run in its home"

        status = place.do(DEMO, "status", "--json").json
        assert {node["node"]: node["online"] for node in status["nodes"]} == dict.fromkeys(
            SITES, True
        )
        remembered = [home / "processes.json", home / "hub" / "broker" / "processes.json"]
        pids = [
            process["pid"]
            for path in remembered
            for process in json.loads(path.read_text()).values()
        ]
        assert len(pids) == len(SITES) + 3, "nodes, orchestrator, broker, epmd"
        known = [process for pid in pids if (process := find_process(pid)) is not None]
        assert len(known) == len(pids)
        assert len(processes_of(home)) >= len(SITES) + 1

        down = place.do(DEMO, "down")
        assert "ended orchestrator, chu-lyon" in down.talk
        until(lambda: not processes_of(home), "the end of all processes")
        assert not [process for process in known if process.is_running()]
    assert "ended nothing" in place.do(DEMO, "down").talk

"""What the scripts of the peers print, as figures."""

import json

import pytest

from benchmarks.comparison import Missed, Turn
from benchmarks.peers.catalogue import PEERS, find_peers
from benchmarks.peers.fedbiomed import read_result
from benchmarks.peers.harness import clean_environment, read_failure, read_line
from benchmarks.peers.watch import Ending, Note, Watched

FLOWER = {
    "system": "flower-legacy",
    "round_s_median": 0.2,
    "first_round_s": 18.44,
    "server_peak_rss_mb": 100,
    "node_peak_rss_mb": 200,
    "note": "ok",
    "rounds_done": 3,
    "round_s": [0.203, 0.193],
}
FEDBIOMED = {
    "times": [1.697, 0.155, 0.202],
    "error": None,
    "researcher_peak_mb": 500,
    "node_peak_mb": 600,
}


def watched(ending: Ending, output: str = "", *notes: Note) -> Watched:
    """Return a command that ended so."""
    return Watched(ending=ending, output=output, notes=notes, peak_mb=21_000.0, seconds=99.0)


def test_a_line_of_a_script_becomes_a_turn() -> None:
    """Mebibytes become megabytes; what else was printed is passed over."""
    output = f"Connecting ...\n{json.dumps(FLOWER)}\n"
    assert read_line(output) == Turn(
        round_s=(0.203, 0.193), first_round_s=18.44, server_rss_mb=104.9, node_rss_mb=209.7
    )


def test_what_a_script_notes_is_kept_beside_its_figures() -> None:
    """Rounds that were measured count, though others were not reached."""
    found = read_line(json.dumps({**FLOWER, "note": "not finished within 480 s"}))
    assert isinstance(found, Turn)
    assert found.note == "not finished within 480 s"


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("", "failed: it printed no figures"),
        (
            json.dumps({"round_s": [], "first_round_s": None, "note": "failed: no port"}),
            "has no second round: failed: no port",
        ),
    ],
)
def test_a_script_without_rounds_has_no_figures(output: str, why: str) -> None:
    """Nothing is made up."""
    assert read_line(output) == Missed(why=why)


def test_a_peer_that_did_not_fit_is_named_with_its_peak() -> None:
    """It is not asked again: it would not fit in the next turn either."""
    found = read_failure(watched(Ending.TOO_LARGE))
    assert found == Missed(why="did not fit, peak 21000 MB", is_final=True)


def test_a_peer_that_takes_too_long_is_not_asked_again() -> None:
    """A turn of it would cost as much once more."""
    found = read_failure(watched(Ending.LATE))
    assert found == Missed(why="not done within 99 s, peak 21000 MB", is_final=True)


def test_a_peer_that_fails_says_its_last_words() -> None:
    """Those are what helps."""
    found = read_failure(watched(Ending.FAILED, "", Note(at_s=1.0, text="no such module")))
    assert found == Missed(why="failed: no such module")
    assert read_failure(watched(Ending.FINISHED)) is None


def test_rounds_of_fedbiomed_begin_with_the_second() -> None:
    """Its first round from a cold start is read off the times of two of its lines."""
    found = read_result(
        watched(
            Ending.FINISHED,
            f"RESULT {json.dumps(FEDBIOMED)}",
            Note(at_s=4.0, text="[bench 09:54:00] 2 nodes configured in /x"),
            Note(at_s=13.5, text="[bench 09:54:11] 1:3 round 1: 1.697 s, RSS 547 MB"),
            Note(at_s=13.7, text="[bench 09:54:11] 1:3 round 2: 0.155 s, RSS 547 MB"),
        )
    )
    assert found == Turn(
        round_s=(0.155, 0.202), first_round_s=9.5, server_rss_mb=524.3, node_rss_mb=629.1
    )


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("", "failed: it printed no figures"),
        ('RESULT {"fatal": "RuntimeError: nodes"}', "failed: RuntimeError: nodes"),
        ('RESULT {"times": [1.0], "error": null}', "failed: it has no second round"),
        ('RESULT {"times": [1.0, 2.0], "error": "lost"}', "failed: lost"),
    ],
)
def test_fedbiomed_without_rounds_has_no_figures(output: str, why: str) -> None:
    """An error counts more than the rounds before it."""
    assert read_result(watched(Ending.FINISHED, output)) == Missed(why=why)


def test_peers_are_asked_for_by_name() -> None:
    """In the order in which they are measured; a name that is nobody's is refused."""
    assert find_peers("all") == PEERS
    assert find_peers("none") == ()
    assert [peer.name for peer in find_peers("flower-legacy,flare")] == ["flare", "flower-legacy"]
    with pytest.raises(ValueError, match="flour: no such peer; there are fedbiomed, flare"):
        find_peers("flour")


def test_a_peer_sees_nothing_of_this_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its interpreter is another, and its files are in a place of their own."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    found = clean_environment("/place")
    assert "PYTHONPATH" not in found
    assert found["TMPDIR"] == "/place"

"""The benchmarks can be asked for: each is measured by hand, and all of them by one command."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.fuzz import Fuzzer
from benchmarks.scale import fit_line, measure
from fedmq.messages.codec import Message, read_body, read_header, unpack_parcel
from fedmq.security.wire import EVENTS, SealedWire

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name",
    [
        "rounds",
        "trust",
        "fuzz",
        "soak",
        "chaos",
        "faults",
        "simulation",
        "scale",
        "encodings",
        "training",
        "missing",
        "loaders",
        "cohort",
        "page",
        "model",
    ],
)
def test_a_benchmark_says_how_it_is_asked_for(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it imports is there."""
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"./run bench {name} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("scale", "--nodes", "0"), "'0' is no whole number from 1 on"),
        (("scale", "--nodes", "3,x"), "'x' is no whole number from 1 on"),
        (("scale", "--rounds", "1"), "at least 2 are needed"),
        (("rounds", "--mb", "-1"), "'-1' is no whole number from 1 on"),
        (("rounds", "--peers", "nobody"), "no such peer"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is_started(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the words of the command line."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


class Credulous(SealedWire):
    """Believes events without looking at signatures."""

    def open(self, encoded: bytes) -> Message:
        """Return an event of anybody."""
        parcel = unpack_parcel(encoded)
        envelope = read_header(parcel)
        if envelope.type not in EVENTS or parcel.keys:
            return super().open(encoded)
        return Message(envelope=envelope, body=read_body(envelope, parcel.body))


def test_fuzzing_finds_nothing_forged() -> None:
    """Of some thousand inputs none crashes a reader, and what is taken says what was said."""
    fuzzer = Fuzzer(random.Random(7))
    for _ in range(4_000):
        fuzzer.try_one()
    assert (fuzzer.num_crashes, fuzzer.num_forged, fuzzer.crashes) == (0, 0, [])
    assert fuzzer.num_same > 0
    assert {"bad_signature", "proxy_is_none", "chunk_hash"} <= fuzzer.reasons.keys()


def test_fuzzing_finds_what_is_believed_and_was_not_said() -> None:
    """A wire that looks at no signature is found out, so that the figure can be other than 0."""
    fuzzer = Fuzzer(random.Random(7))
    fuzzer._wire = Credulous(fuzzer._wire.identity, fuzzer._wire.roster, random=os.urandom)
    for _ in range(4_000):
        fuzzer.try_one()
    assert fuzzer.num_crashes == 0
    assert fuzzer.num_forged > 0
    assert fuzzer.crashes[0].startswith("Forged: ")


def test_the_line_through_figures_is_that_of_least_squares() -> None:
    """By hand: y = 2 x + 1, and one point two above it."""
    slope, intercept, residual = fit_line([0, 1, 2, 3], [1, 3, 5, 7])
    assert (slope, intercept, residual) == pytest.approx((2, 1, 0))
    slope, intercept, residual = fit_line([0, 1, 2, 3], [1, 3, 5, 9])
    assert (slope, intercept, residual) == pytest.approx((2.6, 0.6, 0.8))


def test_a_crowd_has_its_figures() -> None:
    """Sealed and signed, every node's update up, the model down once."""
    figures = measure([3], mb=1, num_rounds=2)
    assert (figures["nodes"], figures["mb"], figures["rounds"]) == (3, 1, 2)
    assert 3.0e6 < float(str(figures["bytes_up"])) < 3.1e6
    assert 1.0e6 < float(str(figures["bytes_down"])) < 1.1e6
    parts = ("send_cpu_s", "train_cpu_s", "collect_cpu_s", "fold_cpu_s")
    total = sum(float(str(figures[part])) for part in parts)
    assert total == pytest.approx(float(str(figures["round_cpu_s"])), rel=0.2, abs=0.05)


def test_a_page_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    """The folder is named; nothing else is shown."""
    ended = subprocess.run(  # noqa: S603 - the project's own command
        [sys.executable, "-m", "benchmarks", "page", "--to", str(tmp_path / "none" / "page.html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "No such file or directory" in ended.stderr
    assert "Traceback" not in ended.stderr

"""The command of the benchmarks: progress on stderr, one flat JSON object as the last line."""

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    cohort,
    encodings,
    faults,
    fuzz,
    fuzz_data,
    loaders,
    missing,
    on_paper,
    rounds,
    scale,
    simulation,
    soak,
    sweep,
    training_speed,
    trust,
)
from benchmarks.chaos import measuring as chaos
from benchmarks.comparison import Load
from benchmarks.page import writing as page
from benchmarks.peers.catalogue import PEERS, find_peers
from benchmarks.training import TRAININGS
from fedmq.encodings.kinds import KINDS

RESULTS = Path(__file__).parent / "results"
Figures = dict[str, object]


def main(arguments: Sequence[str]) -> None:
    """Measure what the command line asks for; print and keep the figures."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    _add_names(parser.add_subparsers(dest="name", required=True))
    options = parser.parse_args(arguments)
    # Whoever ends it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _require_sense(parser, options)
    if options.name in _OF_KEPT_LINES:
        try:
            found = _OF_KEPT_LINES[options.name](options)
        except (OSError, ValueError) as error:
            parser.error(str(error))
        # Made from lines that are kept: it is none of them.
        print(json.dumps({"name": options.name, **found}))
        return
    figures = _MEASURES[options.name](parser, options)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    name = "sweep" if options.name == "simulation" and options.sweep else options.name
    command = shlex.join(["./run", "bench", *arguments])
    line = json.dumps({"name": name, "at": at, "command": command, **figures})
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    sys.stderr.flush()
    print(line)
    if figures.get("why"):
        sys.exit(1)


def _measure_chaos(_: argparse.ArgumentParser, options: argparse.Namespace) -> Figures:
    if options.cells:
        return chaos.measure_cells(options.killed, options.share, options.seed)
    return chaos.measure_kills(
        options.kills, options.seed, lines=options.lines, disks=options.disks
    )


def _measure_simulation(_: argparse.ArgumentParser, options: argparse.Namespace) -> Figures:
    if options.sweep:
        return sweep.measure(is_encoded=options.encoded)
    return simulation.measure(
        options.seeds, options.first, is_encoded=options.encoded, is_shared=options.shared
    )


def _measure_soak(_: argparse.ArgumentParser, options: argparse.Namespace) -> Figures:
    return soak.measure(
        minutes=options.minutes,
        num_rounds=options.rounds,
        num_nodes=options.nodes,
        mb=options.mb,
        kill_every_s=options.kill_every_s,
    )


def _measure_trust(_: argparse.ArgumentParser, options: argparse.Namespace) -> Figures:
    return trust.measure(
        num_nodes=options.nodes,
        mb=options.mb,
        num_rounds=options.rounds,
        num_turns=options.turns,
    )


def _measure_rounds(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Figures:
    try:
        peers = find_peers(options.peers)
    except ValueError as error:
        parser.error(f"--peers: {error}")
    if options.rounds < 2 or options.turns < 1:
        parser.error("rounds after the first are what is compared: --rounds 2 or more, --turns 1")
    training = TRAININGS[options.training]
    if peers and not training.has_size:
        parser.error("the peers have null training alone: --training null, or --peers none")
    return rounds.measure(
        Load(num_nodes=options.nodes, mb=options.mb, num_rounds=options.rounds),
        rounds.Lineup(
            training=training,
            encoding=options.encoding,
            protection=rounds.Protection(options.protection),
            peers=peers,
            with_raw=training.has_size and not options.no_raw,
            num_turns=options.turns,
        ),
    )


_MEASURES: Mapping[str, Callable[[argparse.ArgumentParser, argparse.Namespace], Figures]] = {
    "chaos": _measure_chaos,
    "simulation": _measure_simulation,
    "soak": _measure_soak,
    "faults": lambda _, options: faults.measure(options.times),
    "trust": _measure_trust,
    "scale": lambda _, options: scale.measure(options.nodes, options.mb, options.rounds),
    "encodings": lambda _, options: encodings.measure(options.seeds),
    "training": lambda _, options: training_speed.measure(
        num_cases=options.cases, num_turns=options.turns
    ),
    "missing": lambda _, options: missing.measure(
        options.seeds, options.first, scenario=options.scenario, is_choice=options.choose
    ),
    "loaders": lambda _, options: loaders.measure(
        num_cases=options.cases,
        num_turns=options.turns,
        num_epochs=options.epochs,
        torchio=options.torchio,
    ),
    "cohort": lambda _, options: cohort.measure(num_cases=options.cases),
    "fuzz": lambda _, options: fuzz.measure(options.inputs),
    "fuzz-data": lambda _, options: fuzz_data.measure(options.inputs),
    "rounds": _measure_rounds,
}


_OF_KEPT_LINES: Mapping[str, Callable[[argparse.Namespace], Figures]] = {
    "page": lambda options: page.measure(RESULTS, options.to),
    "model": lambda _: on_paper.measure(RESULTS),
}


def _add_names(names: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    one = names.add_parser("rounds", help="seconds per round, bytes and memory of null training")
    one.add_argument("--nodes", type=_count, default=4)
    one.add_argument("--mb", type=_count, default=1, help="size of the model in megabytes")
    one.add_argument("--rounds", type=_count, default=6)
    one.add_argument("--turns", type=_count, default=3, help="everybody is measured so often")
    one.add_argument(
        "--peers",
        default="none",
        help="`all`, `none`, or some of "
        + ",".join(peer.name for peer in PEERS)
        + "; their harnesses are in the folder that FEDMQ_PEERS names",
    )
    one.add_argument(
        "--training",
        choices=sorted(TRAININGS),
        default="null",
        help="null: adds 1 to a model of --mb; torch: a small network on invented PET and CT",
    )
    one.add_argument(
        "--protection",
        choices=[str(one) for one in rounds.Protection],
        default="both",
        help="fedmq as it is (tls), without TLS, signatures and seals (none), or both",
    )
    one.add_argument(
        "--encoding",
        choices=KINDS,
        default="exact",
        help="of fedmq's updates; bf16, fp16: models too",
    )
    one.add_argument("--no-raw", action="store_true", help="without the raw broker")
    other = names.add_parser("fuzz", help="damaged and odd input for all that reads others' bytes")
    other.add_argument("--inputs", type=int, default=1_000_000)
    files = names.add_parser("fuzz-data", help="damaged and lying volumes and clinical tables")
    files.add_argument("--inputs", type=_count, default=10_000)
    third = names.add_parser("simulation", help="federations with faults, one for each seed")
    third.add_argument("--seeds", type=int, default=20_000)
    third.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    third.add_argument(
        "--sweep", action="store_true", help="a crash at every durable step of one experiment"
    )
    third.add_argument(
        "--encoded", action="store_true", help="updates and models travel encoded, in every way"
    )
    third.add_argument(
        "--shared", action="store_true", help="two orchestrators lead an experiment each"
    )
    _add_chaos(names.add_parser("chaos", help="real programs and a real broker, killed (-9)"))
    fourth = names.add_parser("soak", help="many rounds: does memory, disk or a queue grow?")
    fourth.add_argument("--minutes", type=float, default=0.0, help="0: one experiment")
    fourth.add_argument("--rounds", type=_count, default=200, help="of each experiment")
    fourth.add_argument("--nodes", type=_count, default=4)
    fourth.add_argument("--mb", type=_count, default=4, help="size of the model in megabytes")
    fourth.add_argument(
        "--kill-every-s", type=float, default=0.0, help="a random program is killed so often"
    )
    fifth = names.add_parser("faults", help="the list of faults, row by row (tests/faults)")
    fifth.add_argument("--times", type=int, default=3)
    sixth = names.add_parser("trust", help="what TLS, signing and sealing cost a round")
    sixth.add_argument("--nodes", type=_count, default=4)
    sixth.add_argument("--mb", type=_count, default=1, help="size of the model in megabytes")
    sixth.add_argument("--rounds", type=_count, default=6, help="of each experiment")
    sixth.add_argument("--turns", type=_count, default=10, help="experiments of each way")
    seventh = names.add_parser("scale", help="a round as nodes grow, all of them in one process")
    seventh.add_argument(
        "--nodes",
        type=_numbers,
        default=[1_000],
        metavar="N[,N...]",
        help="several: one federation after the other, and the line through their figures",
    )
    seventh.add_argument("--mb", type=_count, default=1, help="size of the model in megabytes")
    seventh.add_argument(
        "--rounds", type=_count, default=3, help="two or more: the first is not counted"
    )
    eighth = names.add_parser("training", help="threads, layouts, reading ahead: steps of plans")
    eighth.add_argument("--cases", type=_count, default=8)
    eighth.add_argument("--turns", type=_count, default=5, help="every way is measured so often")
    ninth = names.add_parser("encodings", help="bytes of updates, and what they cost")
    ninth.add_argument("--seeds", type=_count, default=3, help="of patients, split and training")
    _add_missing(names.add_parser("missing", help="learning from cases without CT or PET"))
    _add_loaders(names.add_parser("loaders", help="cases and patches, beside other loaders"))
    patients = names.add_parser("cohort", help="whole bodies of many patients in one trainer")
    patients.add_argument("--cases", type=_count, default=200)
    names.add_parser("model", help="a round's cost, fitted to kept lines; 10,000 nodes on paper")
    tenth = names.add_parser("page", help="the page that shows what is kept in results/*.jsonl")
    tenth.add_argument("--to", type=Path, default=RESULTS / "page.html", metavar="FILE")


def _require_sense(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Return if what is asked for can be measured together."""
    if options.name == "chaos" and options.cells and (options.lines or options.disks):
        parser.error("--lines and --disks go with --kills")
    if options.name == "scale" and options.rounds == 1:
        parser.error("--rounds: of one round nothing is counted; at least 2 are needed")


def _count(text: str) -> int:
    """Return a number of things of which there has to be one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _numbers(text: str) -> list[int]:
    return [_count(one) for one in text.split(",")]


def _add_missing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=_count, default=12, help="of patients and of training")
    parser.add_argument("--from", dest="first", type=int, default=1, help="the first seed")
    parser.add_argument("--scenario", choices=["sites", "cases"], default="sites", help="who lacks")
    parser.add_argument(
        "--choose", action="store_true", help="rates of modality dropout, beside each other"
    )


def _add_loaders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cases", type=_count, default=6)
    parser.add_argument("--turns", type=_count, default=5, help="every tool is measured so often")
    parser.add_argument("--epochs", type=_count, default=5, help="after the first")
    parser.add_argument(
        "--torchio",
        default="",
        metavar="PYTHON",
        help="one that has TorchIO; unless told, it is installed under TMPDIR",
    )


def _add_chaos(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--kills", type=int, help="so many at random, while they work")
    what.add_argument("--cells", action="store_true", help="before and after every durable step")
    parser.add_argument(
        "--killed",
        choices=("node", "orchestrator", "researcher", "broker"),
        default="",
        help="cells: who is killed while another one is at the step; unless told, that one",
    )
    parser.add_argument("--share", type=float, default=1.0, help="cells: so many are drawn")
    parser.add_argument("--lines", action="store_true", help="kills: lines are cut too")
    parser.add_argument("--disks", action="store_true", help="kills: disks are filled too")
    parser.add_argument("--seed", type=int, default=1, help="decides who is killed, and when")


if __name__ == "__main__":
    main(sys.argv[1:])

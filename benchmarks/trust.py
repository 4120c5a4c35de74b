"""What TLS, signing and sealing cost: the same rounds with them, without TLS, and with neither.

Three federations stand side by side on this machine, each with a broker of its own, and take turns:
an experiment of a few rounds in each, again and again. So whatever else the machine does, it does
to all of them, and the ratios are of neighbours in time.
"""

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import ways
from benchmarks.comparison import Figures, spread
from benchmarks.progress import say
from benchmarks.training import NULL, null_experiment
from benchmarks.ways import WAYS
from fedmq.researcher.client import Client


def measure(*, num_nodes: int, mb: int, num_rounds: int, num_turns: int) -> Figures:
    """Return seconds per round of each way, and the ratios of neighbours in time."""
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as name, ExitStack() as stack:
        clients: dict[str, Client] = {}
        for way in WAYS:
            say(f"{way.name}: {num_nodes} nodes begin")
            folder = Path(name) / way.name
            folder.mkdir()
            stack.enter_context(ways.running(folder, way, num_nodes, NULL))
            clients[way.name] = stack.enter_context(ways.make_client(folder, way))
        seconds: dict[str, list[float]] = {way.name: [] for way in WAYS}
        for turn in range(num_turns + 1):
            # The first turn warms up, and the order changes, so that none is always the first.
            shift = turn % len(WAYS)
            for way in WAYS[shift:] + WAYS[:shift]:
                rounds = _run(clients[way.name], num_nodes, mb, num_rounds)
                if turn:
                    seconds[way.name].append(statistics.median(rounds[1:]))
            if turn:
                say(f"turn {turn}: { ({name: round(s[-1], 3) for name, s in seconds.items()}) }")
    return {
        "nodes": num_nodes,
        "mb": mb,
        "rounds": num_rounds,
        "turns": num_turns,
        **{f"round_s_{name}": round(statistics.median(s), 4) for name, s in seconds.items()},
        **_ratios("over_neither", seconds["tls_and_keys"], seconds["neither"]),
        **_ratios("tls", seconds["tls_and_keys"], seconds["keys"]),
        **_ratios("keys", seconds["keys"], seconds["neither"]),
    }


def _ratios(name: str, ours: list[float], theirs: list[float]) -> Figures:
    return spread([one / other for one, other in zip(ours, theirs, strict=True)]).figures(name)


def _run(client: Client, num_nodes: int, mb: int, num_rounds: int) -> list[float]:
    report = client.submit(null_experiment(num_nodes, mb, num_rounds)).wait(poll_s=0.2)
    if report.state != "finished":
        raise SystemExit(f"the experiment {report.state}: {report.reason}")
    return [record.duration_s for record in report.records]

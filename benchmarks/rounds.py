"""Null training through the real system: seconds per round, bytes, peak memory; and a peer's."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import federation
from fedmq.researcher.client import Client
from fedmq.researcher.experiment import Experiment

PLAN = Path(__file__).with_name("null_plan.py")
PEER_LIMIT_S = 540


def measure(*, num_nodes: int, mb: int, num_rounds: int, peers: str) -> dict[str, object]:
    """Return the figures of fedmq, and of the peer measured right after it."""
    figures: dict[str, object] = {
        "nodes": num_nodes,
        "mb": mb,
        "rounds": num_rounds,
        **_measure_fedmq(num_nodes, mb, num_rounds),
    }
    if peers != "none":
        figures |= _measure_flower(num_nodes, mb, num_rounds)
        if "peer_round_s" in figures:
            own, other = float(str(figures["round_s"])), float(str(figures["peer_round_s"]))
            figures["round_over_best_peer"] = round(own / other, 3)
    return figures


def null_experiment(num_nodes: int, mb: int, num_rounds: int) -> Experiment:
    """Return rounds of null training of all nodes, without evaluation."""
    return Experiment(
        name="null",
        plan=str(PLAN),
        dataset=federation.DATASET,
        rounds=num_rounds,
        quorum=num_nodes,
        config={"mb": mb},
        evaluate=False,
        validation_share=0.0,
    )


def _measure_fedmq(num_nodes: int, mb: int, num_rounds: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as name:
        folder = Path(name)
        say(f"fedmq: {num_nodes} nodes, {mb} MB, {num_rounds} rounds")
        began = time.perf_counter()
        with federation.running(folder, PLAN, "null", num_nodes) as pids:
            started = time.perf_counter()
            experiment = null_experiment(num_nodes, mb, num_rounds)
            with Client.from_credentials(folder / "credentials.toml") as client:
                report = client.submit(experiment).wait(poll_s=0.2)
            if report.state != "finished":
                raise SystemExit(f"the experiment {report.state}: {report.reason}")
            ended = time.perf_counter()
            seconds = [record.duration_s for record in report.records]
            later = seconds[1:] or seconds
            peaks = {program: _peak_mb(pid) for program, pid in pids.items()}
            last = report.records[-1]
            say(f"fedmq: bytes up {[record.bytes_up for record in report.records]}")
        say(f"fedmq: rounds took {[round(one, 3) for one in seconds]} s")
        return {
            "round_s": round(statistics.median(later), 3),
            "round_s_min": round(min(later), 3),
            "round_s_max": round(max(later), 3),
            "first_round_s": round(seconds[0], 3),
            "start_s": round(started - began, 1),
            "experiment_s": round(ended - started, 2),
            "orchestrator_rss_mb": peaks["orchestrator"],
            "node_rss_mb": max(mb for one, mb in peaks.items() if one.startswith("node-")),
            "broker_rss_mb": peaks["broker"],
            "bytes_up": last.bytes_up,
            "bytes_down": last.bytes_down,
        }


def _measure_flower(num_nodes: int, mb: int, num_rounds: int) -> dict[str, object]:
    folder = os.environ.get("FEDMQ_PEERS")
    if not folder:
        say("not measured: the peer, because FEDMQ_PEERS names no folder")
        return {}
    say("flower (legacy gRPC, its fastest)")
    settings = {"NODES": str(num_nodes), "MB": str(mb), "ROUNDS": str(num_rounds)}
    try:
        result = subprocess.run(
            [str(Path(folder) / "flower" / "run_legacy.sh")],
            env={**os.environ, **settings, "BENCH_LOCK": "none"},
            stdout=subprocess.PIPE,
            text=True,
            timeout=PEER_LIMIT_S,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        say(f"not measured: the peer, {type(error).__name__}")
        return {}
    found = json.loads(result.stdout.strip().splitlines()[-1])
    say(f"flower: {found}")
    return {
        "peer": "flower legacy 1.41",
        "peer_round_s": found["round_s_median"],
        "peer_first_round_s": found.get("first_round_s"),
        "peer_server_rss_mb": found.get("server_peak_rss_mb"),
    }


def _peak_mb(pid: int) -> float:
    """Return the most memory that a process ever had resident, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1000, 1)
    return 0.0


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)

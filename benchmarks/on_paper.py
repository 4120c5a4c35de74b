"""`./run bench model`: what a round costs, fitted to kept lines; and 10,000 nodes by it."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.model import BEAT_EVERY_S, BEAT_S, Cost, Point, fit

NODES: Final = 10_000
REGIONS: Final = (10, 100)
_SUM_MB: Final = 2
"""Of float64, for each MB of a model in float32: what a region sends."""
_COUNTED: Final = "orchestrator_cpu_s"


def measure(results: Path) -> dict[str, object]:
    """Return the figures of the fit; its table goes to stderr.

    Raises:
        ValueError: nothing is kept that it could be fitted to.
    """
    points = points_of((results / "scale.jsonl").read_text(encoding="utf-8").splitlines())
    cost = fit(points)
    sys.stderr.write(words(points, cost))
    return {
        "points": len(points),
        "node_ms": round(cost.node_s * 1e3, 3),
        "node_mb_ms": round(cost.node_mb_s * 1e3, 3),
        "residual_s": round(cost.residual_s, 3),
        "flat_s": _rounded(cost.predict(NODES, 1)),
        **{f"regions_{number}_s": _rounded(_of_regions(cost, number)[0]) for number in REGIONS},
        **{f"above_{number}_s": _rounded(_of_regions(cost, number)[1]) for number in REGIONS},
    }


def points_of(lines: Iterable[str]) -> tuple[Point, ...]:
    """Return what was measured of each size, the newest of it.

    Raises:
        ValueError: of fewer than two sizes.
    """
    found: dict[tuple[int, int], Point] = {}
    for line in lines:
        figures: Mapping[str, Any] = json.loads(line)
        # A line of several federations has each figure with the number of its nodes.
        sizes = [int(key.removeprefix("rss_mb_")) for key in figures if _is_of_many(key)]
        for nodes in sizes or [int(figures["nodes"])]:
            ending = f"_{nodes}" if sizes else ""
            found[nodes, int(figures["mb"])] = Point(
                num_nodes=nodes,
                mb=int(figures["mb"]),
                round_s=float(figures[f"round_s{ending}"]),
                cpu_s=float(figures[f"{_COUNTED}{ending}"]),
            )
    if len(found) < 2:
        raise ValueError("nothing to fit: ./run bench scale --nodes 100,300,1000 --mb 1")
    return tuple(found[size] for size in sorted(found))


def _is_of_many(key: str) -> bool:
    return key.startswith("rss_mb_") and key.removeprefix("rss_mb_").isdecimal()


def words(points: Sequence[Point], cost: Cost) -> str:
    """Return the fit and its table as docs/scale.md has them."""
    sizes = ", ".join(f"{one.num_nodes:,} nodes with {one.mb} MB" for one in points)
    flat = cost.predict(NODES, 1)
    lines = [
        f"seconds of the orchestrator's processor = nodes x ({cost.node_s * 1e3:.2f} ms +",
        f"{cost.node_mb_s * 1e3:.2f} ms x MB) + signs of life ({BEAT_S * 1e3:.2f} ms each,",
        f"every {BEAT_EVERY_S:.0f} s of each node).",
        f"Fitted to {len(points)} sizes: {sizes}. Largest residual {cost.residual_s:.2f} s.",
        "",
        "| 1 MB, float32 | seconds of a region's orchestrator | of the one above them |",
        "|---|---|---|",
        f"| one orchestrator, {NODES:,} nodes | {_shown(flat)} | - |",
    ]
    for number in REGIONS:
        region, above = _of_regions(cost, number)
        lines.append(
            f"| {number} regions of {NODES // number:,} | {_shown(region)} | {_shown(above)} |"
        )
    return "\n".join(lines) + "\n"


def _of_regions(cost: Cost, number: int) -> tuple[float | None, float | None]:
    return cost.predict(NODES / number, 1), cost.predict(number, _SUM_MB)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def _shown(seconds: float | None) -> str:
    return "it never ends" if seconds is None else f"{seconds:.1f}"

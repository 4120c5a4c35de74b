"""Lines of results as they were kept, old and new: a field that is not there has no value."""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

from benchmarks.peers.catalogue import PEERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one run measured."""

    bench: str
    at: str
    """When it ended, ISO 8601 in UTC."""
    figures: Mapping[str, object]

    def number(self, key: str) -> float | None:
        """Return a figure; None where the line has none of that name."""
        value = self.figures.get(key)
        return (
            float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        )

    def text(self, key: str) -> str:
        """Return a text; an empty one where the line has none of that name."""
        value = self.figures.get(key)
        return value if isinstance(value, str) else ""

    def count(self, key: str) -> int:
        """Return a whole number; 0 where the line has none of that name."""
        return int(self.number(key) or 0)


def read_lines(text: str) -> tuple[Line, ...]:
    """Return the lines of a file of results, the oldest first."""
    found = (json.loads(one) for one in text.splitlines() if one.strip())
    lines = (
        Line(bench=str(one.get("name", "")), at=str(one.get("at", "")), figures=one)
        for one in found
    )
    return tuple(sorted(lines, key=lambda line: line.at))


def newest(lines: Iterable[Line], key: Callable[[Line], Hashable]) -> tuple[Line, ...]:
    """Return of the lines that measured the same the newest one, in the order of what they did."""
    found = {key(line): line for line in sorted(lines, key=lambda line: line.at)}
    return tuple(sorted(found.values(), key=_load_and_time))


def _load_and_time(line: Line) -> tuple[int, int, str]:
    return line.count("nodes"), line.count("mb"), line.at


def key_of(name: str) -> str:
    """Return how figures of a peer begin."""
    return name.replace("-", "_")


def source_of(line: Line) -> str:
    """Return when a line was measured, beside what, and by which command."""
    load = line.number("load_average")
    beside = "load average not recorded" if load is None else f"load average {load:g}"
    command = line.text("command")
    told = f"`{command}`" if command else f"`{_rebuilt(line)}` (rebuilt from the line's figures)"
    return f"{line.at[:16].replace('T', ' ')} UTC, {beside}, {told}"


def _rebuilt(line: Line) -> str:
    """Return the command of a line of before lines kept theirs, as far as its figures tell it."""
    words = ["./run bench", line.bench]
    sizes = [str(size) for size in sizes_of(line, "round_s")]
    nodes = ",".join(sizes) or str(line.count("nodes"))
    words.append(f"--nodes {nodes}")
    words += [f"--{one} {line.count(one)}" for one in ("mb", "rounds", "turns") if line.count(one)]
    if (encoding := line.text("encoding")) not in {"", "exact"}:
        words.append(f"--encoding {encoding}")
    peers = [peer.name for peer in PEERS if _was_asked(line, key_of(peer.name))]
    if peers:
        words.append("--peers " + ("all" if len(peers) == len(PEERS) else ",".join(peers)))
    return " ".join(words)


def _was_asked(line: Line, peer: str) -> bool:
    return f"{peer}_round_s" in line.figures or f"{peer}_not_measured" in line.figures


def sizes_of(line: Line, name: str) -> list[int]:
    """Return the numbers of nodes for which a line of several sizes has a figure."""
    ends = (key.removeprefix(f"{name}_") for key in line.figures if key.startswith(f"{name}_"))
    return sorted(int(end) for end in ends if end.isdecimal())

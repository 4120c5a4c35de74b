"""Figures of rounds beside other systems and the raw broker."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from benchmarks.page.contenders import CONTENDERS, OWN, SYSTEMS, Contender, lineup_of
from benchmarks.page.figures import Axis, Dots, Figure, Kind, Row, log_axis
from benchmarks.page.lines import Line, newest, source_of

RAW_AIM: Final = 1.2
_SMALL_MB: Final = 1


def peer_aim(line: Line, *, has_tls: bool) -> float:
    """Return what was aimed at over the best peer: for a small model, a large one, one in bf16."""
    if line.count("mb") <= _SMALL_MB:
        return 0.8
    if not has_tls:
        return 0.4
    return 0.35 if line.text("encoding") == "bf16" else 0.5


def shown_lines(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return the newest line of each load and lineup, of those that were measured in turns."""
    in_turns = (line for line in lines if line.count("turns"))
    return newest(
        in_turns,
        key=lambda line: (
            line.count("nodes"),
            line.count("mb"),
            line.text("training") or "null",
            line.text("encoding") or "exact",
            lineup_of(line),
        ),
    )


def earlier_lines(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return the newest line of each load of before everybody was measured in turns."""
    return newest(
        (line for line in lines if not line.count("turns")),
        key=lambda line: (line.count("nodes"), line.count("mb"), bool(line.text("peer"))),
    )


def title_of(line: Line) -> str:
    """Return what a line's load was."""
    training = line.text("training") or "null"
    load = f"{line.count('nodes')} nodes x {line.count('mb')} MB"
    if training != "null":
        load = f"{line.count('nodes')} nodes, training {training}"
    encoding = line.text("encoding") or "exact"
    if encoding != "exact":
        load += f" as {encoding}"
    turns = line.count("turns")
    times = f", {turns} turn{'s' if turns > 1 else ''}" if turns else ""
    return f"{load}{times}, {line.at[:10]}"


def draw_up(lines: Sequence[Line]) -> tuple[Figure, ...]:
    """Return the figures of lines that were measured in turns; none of no lines."""
    if not lines:
        return ()
    return (
        _figure(
            "round",
            "Seconds of a round",
            "Rounds after the first: the median, and the quartiles as a bar. Read "
            "ratios within one panel; "
            "seconds depend on what else the machine did, which the load average tells.",
            "seconds a round",
            [(line, _rows(line, CONTENDERS, "round_s", has_quartiles=True)) for line in lines],
        ),
        _figure(
            "ratio",
            "Over the best peer and the raw broker",
            "Seconds of a round of fedmq over those of others in the same turn. The upright dashes "
            "are the aims: at most 0.8 of the best peer for 1 MB; for more 0.5 with TLS (0.35 as "
            f"bf16) and 0.4 without; at most {RAW_AIM:g} of the raw broker. Peers move float32.",
            "times the other's seconds",
            [(line, _ratios(line)) for line in lines],
        ),
        _figure(
            "middle",
            "Memory in the middle",
            "The most that was resident. What stands in the middle is the orchestrator, and "
            "the broker beside it; the server, with all its processes, of others.",
            "MB",
            [(line, _middle(line)) for line in lines],
        ),
        _figure(
            "node",
            "Memory of a node",
            "The most that one node had resident, with the process that trains.",
            "MB",
            [(line, _rows(line, SYSTEMS, "node_rss_mb")) for line in lines],
        ),
        _figure(
            "first",
            "First round from a cold start",
            "From the start of the programs to the end of round 1. fedmq's broker runs already; "
            "peers' own certificates are made before.",
            "seconds",
            [(line, _rows(line, SYSTEMS, "first_round_s")) for line in lines],
        ),
        _bytes(lines),
    )


def draw_up_earlier(lines: Sequence[Line]) -> tuple[Figure, ...]:
    """Return the figure of lines of before everybody was measured in turns."""
    if not lines:
        return ()
    words = (
        "Lines that are older than the turns: fedmq first, then one peer with the same "
        "load. They do not tell "
        "how messages were protected; nothing in them is compared with the panels above."
    )
    panels = [(line, _earlier_rows(line)) for line in lines]
    return (_figure("earlier", "Seconds of a round, earlier", words, "seconds a round", panels),)


def _rows(
    line: Line, contenders: Iterable[Contender], figure: str, *, has_quartiles: bool = False
) -> tuple[Row, ...]:
    return tuple(one.row(line, figure, has_quartiles=has_quartiles) for one in contenders)


def _figure(
    key: str, heading: str, words: str, unit: str, panels: list[tuple[Line, tuple[Row, ...]]]
) -> Figure:
    axis = log_axis([value for _, rows in panels for row in rows for value in _extent(row)], unit)
    return _on(axis, key, heading, words, panels)


def _on(
    axis: Axis, key: str, heading: str, words: str, panels: list[tuple[Line, tuple[Row, ...]]]
) -> Figure:
    drawn = (
        Dots(title=title_of(line), source=source_of(line), axis=axis, rows=rows)
        for line, rows in panels
    )
    return Figure(key=key, heading=heading, words=words, panels=tuple(drawn))


def _extent(row: Row) -> list[float]:
    return [one for one in (row.low, row.value, row.high, row.aim) if one is not None and one > 0]


def _ratios(line: Line) -> tuple[Row, ...]:
    rows = []
    for own in OWN:
        name = f"{own.prefix}round_over_best_peer"
        label = _best_peer(line, own.prefix)
        rows.append(_ratio(line, name, label, own.group, peer_aim(line, has_tls=not own.prefix)))
        raw = f"{own.prefix}round_over_raw_broker"
        rows.append(_ratio(line, raw, "raw broker", own.group, RAW_AIM))
    return tuple(rows)


def _best_peer(line: Line, prefix: str) -> str:
    best = line.text(f"{prefix}best_peer").replace("-", "_")
    labels = {one.prefix: one.label for one in CONTENDERS}
    return labels.get(f"{best}_", "best peer")


def _ratio(line: Line, name: str, label: str, group: str, aim: float | None) -> Row:
    low, value, high = (line.number(f"{name}{end}") for end in ("_low", "", "_high"))
    # The quartiles of one turn are that turn.
    has_spread = line.count("turns") > 1
    return Row(
        label=label,
        group=group,
        kind=Kind.OWN,
        value=value,
        low=low if has_spread else None,
        high=high if has_spread else None,
        aim=aim,
        note="not measured" if value is None else "",
    )


def _middle(line: Line) -> tuple[Row, ...]:
    rows = []
    for one in SYSTEMS:
        if one.kind is not Kind.OWN:
            rows.append(one.row(line, "server_rss_mb"))
            continue
        for label, figure in (("orchestrator", "orchestrator_rss_mb"), ("broker", "broker_rss_mb")):
            named = Contender(label=label, prefix=one.prefix, kind=one.kind, group=one.group)
            rows.append(named.row(line, figure))
    return tuple(rows)


def _bytes(lines: Sequence[Line]) -> Figure:
    panels = [(line, _rows(line, OWN, "bytes_over_models")) for line in lines]
    words = (
        "All bytes that the orchestrator sent and received in a round over those of the "
        "model, sent "
        "once, and of one update of each node: 1 is the least. The peers' bytes were not measured."
    )
    above = max((row.value or 1.0 for _, rows in panels for row in rows), default=1.0) - 1.0
    unit = "times the bytes of the models"
    top = 1.0 + max(above, 1e-4) * 1.2
    axis = Axis(unit=unit, low=1.0, high=top, is_log=False, digits=6)
    return _on(axis, "bytes", "Bytes over models", words, panels)


def _earlier_rows(line: Line) -> tuple[Row, ...]:
    labelled: tuple[tuple[str, str, Kind], ...] = (
        ("fedmq", "round_s", Kind.OWN),
        ("Flower legacy", "peer_round_s", Kind.PEER),
    )
    return tuple(_earlier_row(line.number, *one) for one in labelled)


def _earlier_row(number: Callable[[str], float | None], label: str, name: str, kind: Kind) -> Row:
    value = number(name)
    return Row(label=label, kind=kind, value=value, note="" if value else "not measured")

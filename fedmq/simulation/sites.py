"""The data of simulated nodes: invented patients, or cases of one's own that are dealt out."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from fedmq.errors import ConfigurationError
from fedmq.imaging.cases import Case
from fedmq.imaging.clinical import CASE_COLUMN
from fedmq.imaging.contents import MapChoices, choose_map, read_contents
from fedmq.imaging.layouts.data_map import CLINICAL_FILE
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.types import NodeId

Folders = Mapping[NodeId, Path]
"""Node -> the folder of its dataset."""


def invent_cases(
    nodes: Sequence[NodeId], folder: Path, *, num_cases: int, seed: int, has_volumes: bool
) -> Folders:
    """Return a folder of invented patients for each node; scanners and patients differ.

    A node is like one of the demonstration's four hospitals, in turn. Without volumes the clinical
    rows are the same, and written much faster.
    """
    kinds = list(SITES.values())
    for number, node in enumerate(nodes):
        site = replace(kinds[number % len(kinds)], name=node)
        write_cohort(site, folder / node, num_cases=num_cases, seed=seed, has_volumes=has_volumes)
    return {node: folder / node for node in nodes}


def deal_out(source: Path, nodes: Sequence[NodeId], folder: Path, *, seed: int) -> Folders:
    """Return a folder for each node with its share of the cases of `source`, none of them copied.

    The seed decides which node has which case; the shares differ by one case at most.

    Raises:
        ConfigurationError: there are fewer cases than nodes.
        DatasetError: the folder or its clinical table cannot be read.
    """
    data_map = choose_map(source, MapChoices())
    cases = list(read_contents(source, None, data_map, is_thorough=True).cases)
    if len(cases) < len(nodes):
        raise ConfigurationError(
            f"{source} cannot be dealt out to {len(nodes)} nodes",
            why=f"it has {len(cases)} cases, and each node needs one",
            fix="simulate fewer nodes, or name a folder with more cases",
        )
    Random(seed).shuffle(cases)
    for first, node in enumerate(nodes):
        _write_share(cases[first :: len(nodes)], source, folder / node)
    return {node: folder / node for node in nodes}


def _link(case: Case, place: Path, link: Path) -> None:
    """Give a node a case by a link to its folder; where it has none of its own, to its volumes."""
    if place.is_dir() and all(path.parent == place for path in case.volumes.values()):
        link.symlink_to(place.resolve())
        return
    link.mkdir()
    for modality, path in case.volumes.items():
        suffix = ".nii.gz" if path.name.lower().endswith(".gz") else ".nii"
        (link / f"{modality}{suffix}").symlink_to(path.resolve())


def _write_share(cases: Sequence[Case], source: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for case in cases:
        _link(case, source / case.case_id, folder / case.case_id)
    rows = [{CASE_COLUMN: case.case_id, **case.clinical} for case in cases if case.clinical]
    if rows:
        with (folder / CLINICAL_FILE).open("w", encoding="utf-8", newline="") as file:
            # A row that ends early lacks its last columns.
            columns = max((list(row) for row in rows), key=len)
            writer = csv.DictWriter(file, fieldnames=columns)
            writer.writeheader()
            writer.writerows(rows)

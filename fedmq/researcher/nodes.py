"""Nodes as a researcher sees them, with what they tell of their data."""

from dataclasses import dataclass

from fedmq.messages.data import DatasetSummary, KnownNode, ModalitySummary


@dataclass(frozen=True, slots=True)
class KnownNodes:
    """The nodes that were heard of, by name."""

    nodes: tuple[KnownNode, ...] = ()
    silent: tuple[str, ...] = ()
    """Orchestrators that did not answer: what they alone know is not here."""


def describe(dataset: DatasetSummary) -> list[str]:
    """Return what a node tells of a dataset, in lines for people."""
    few = f"fewer than {dataset.least_cell}"
    number = few if dataset.num_cases is None else str(dataset.num_cases)
    lines = [f"{dataset.dataset}: {number} cases"]
    if dataset.dictionary is not None:
        read_by = dataset.dictionary
        lines[0] += f", read by {read_by.name} {read_by.version} {read_by.digest[:12]}"
    return [*lines, *(f"  {_describe_modality(one)}" for one in dataset.modalities)]


def _describe_modality(one: ModalitySummary) -> str:
    if one.num_cases is None:
        return f"{one.modality}: too few have it, or lack it, to be told"
    if one.least_mm is None or one.most_mm is None:
        return f"{one.modality}: {one.num_cases}, voxels not told until the site's next check"
    sides = [
        f"{least:g}" if least == most else f"{least:g} to {most:g}"
        for least, most in zip(one.least_mm, one.most_mm, strict=True)
    ]
    return f"{one.modality}: {one.num_cases}, voxels {' x '.join(sides)} mm"

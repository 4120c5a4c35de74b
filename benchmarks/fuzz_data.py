"""Damaged and lying files in a dataset: volumes whose headers lie, tables that somebody spoilt.

Each is read or refused by name (a DatasetError with a known code); anything else that comes of it
is a crash. Memory is that of the process at its peak, compared with before: a header that claims a
terabyte, or a small file that unpacks to much, must not show in it. Every twentieth input is a
whole dataset of one damaged and one sound case, of which the sound one must stay sound.
"""

import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from fedmq.errors import DatasetError
from fedmq.imaging.clinical import read_table
from fedmq.imaging.layouts.data_map import DataMap
from fedmq.imaging.volumes import load_volume
from fedmq.node.inspection import inspect
from tests.support.mutations import mutated_table, mutated_volume, sound_volume

SEED = 20261129
_DATASET_EVERY = 20


def measure(num_inputs: int) -> dict[str, object]:
    """Return how many inputs were read, refused, or brought anything down, and the memory (MB)."""
    chance = random.Random(SEED)
    outcomes: Counter[str] = Counter()
    crashes: list[str] = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = Path(folder)
        for number in range(200):
            _try_one(place, chance, number)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        for number in range(num_inputs):
            try:
                outcomes[_try_one(place, chance, number)] += 1
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                outcomes["crashed"] += 1
                if len(crashes) < 10:
                    crashes.append(f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for outcome, count in outcomes.most_common():
        print(f"{count:>8,} {outcome}", file=sys.stderr)
    return {
        "inputs": num_inputs,
        "read": outcomes["read"],
        "refused": num_inputs - outcomes["read"] - outcomes["crashed"],
        "crashes": outcomes["crashed"],
        "inputs_per_s": round(num_inputs / seconds),
        "peak_rss_mb": round(after / 1024, 1),
        "rss_growth_mb": round((after - before) / 1024, 2),
        "why": "\n".join(crashes),
    }


def _try_one(folder: Path, chance: random.Random, number: int) -> str:
    """Return what comes of an input: read, or the code of its refusal."""
    if number % _DATASET_EVERY == 0:
        return _try_dataset(folder, chance)
    try:
        if number % 2:
            suffix, content = mutated_volume(chance)
            path = folder / f"pet{suffix}"
            path.write_bytes(content)
            load_volume(path)
        else:
            path = folder / "clinical.csv"
            path.write_bytes(mutated_table(chance))
            read_table(path)
    except DatasetError as error:
        if str(folder) in str(error):
            raise ValueError("a refusal names a folder") from error
        return error.code
    return "read"


def _try_dataset(folder: Path, chance: random.Random) -> str:
    dataset = folder / "cases"
    suffix, content = mutated_volume(chance)
    for case, name, some in (("a", "PET.nii", sound_volume()), ("b", f"PET{suffix}", content)):
        place = dataset / case
        place.mkdir(parents=True, exist_ok=True)
        for other in place.iterdir():
            other.unlink()
        (place / name).write_bytes(some)
    findings = {one.case_id: one.code for one in inspect(dataset, None, DataMap()).findings}
    if findings.get("a") != "implausible_suv":  # its values are its numbers, and no SUV
        raise ValueError("a damaged case has changed what is found of another")
    return "read" if findings.get("b", "") in {"", "implausible_suv"} else findings["b"]

"""Dependencies: the packages beside its own bytes that decide what a plan does."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fedmq import __version__
from fedmq.node.terms import Dependencies

PACKAGES: Final = ("torch", "numpy", "nibabel", "monai")
MISSING: Final = "none"


def read_dependencies() -> Dependencies:
    """Return the version of each package that is installed now; nothing is imported."""
    return {"fedmq": __version__, **_versions(tuple(map(_changed_at, sys.path)))}


def dependencies_digest(dependencies: Dependencies) -> str:
    """Return a digest by which two sets of packages can be told apart."""
    text = json.dumps(dict(dependencies), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def describe_changes(before: Dependencies, after: Dependencies) -> str:
    """Return in words which packages differ; empty where none does."""
    names = sorted(before.keys() | after.keys())
    return ", ".join(
        f"{name} {before.get(name, MISSING)} -> {after.get(name, MISSING)}"
        for name in names
        if before.get(name) != after.get(name)
    )


@lru_cache(maxsize=1)
def _versions(_changed: tuple[tuple[str, int], ...]) -> Mapping[str, str]:
    """Return the version of each package; read anew where a folder of packages has changed.

    A node asks with every task, and to read what packages say of themselves takes as long as all
    else that it does with a small model.
    """
    return MappingProxyType({name: _version(name) for name in PACKAGES})


def _changed_at(folder: str) -> tuple[str, int]:
    """Return when something was installed into, or removed from, a folder."""
    try:
        return folder, Path(folder or os.curdir).stat().st_mtime_ns
    except OSError:
        return folder, 0


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING

"""Dependencies: the packages beside its own bytes that decide what a plan does."""

import hashlib
import json
from importlib import metadata
from typing import Final

from fedmq import __version__
from fedmq.node.terms import Dependencies

PACKAGES: Final = ("torch", "numpy", "nibabel", "monai")
MISSING: Final = "none"


def read_dependencies() -> Dependencies:
    """Return the version of each package that is installed now; nothing is imported."""
    return {"fedmq": __version__} | {name: _version(name) for name in PACKAGES}


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


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING

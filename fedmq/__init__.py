"""Federated learning for hospitals over a message queue."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedmq.researcher.client import Client as Client
    from fedmq.researcher.experiment import Experiment as Experiment

__version__ = "0.1.0"
__all__ = ["Client", "Experiment", "__version__"]

_HOMES = {"Client": "fedmq.researcher.client", "Experiment": "fedmq.researcher.experiment"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the module has
    """Return a name of the public API; its module is imported when it is first used."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'fedmq' has no attribute {name!r}")

"""How a node's commands have plans contained: as well as the machine can, or with a word of it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fedmq.cli.console import say

if TYPE_CHECKING:
    from fedmq.node.containment import Containment
    from fedmq.node.worker import Worker, WorkerEvent

_MB = 2**20


def contained_worker(
    folder: Path,
) -> "tuple[Containment, Callable[[Callable[[WorkerEvent], None]], Worker]]":
    """Say what keeps plans in; return that, and what makes the worker of the node in `folder`.

    Raises:
        ConfigurationError: nothing keeps plans from network and files, and nobody allowed that;
            or they are to compute on what they cannot reach.
    """
    from fedmq.containment.cell import Limits
    from fedmq.node.containment import find_containment, require_containment
    from fedmq.node.devices import require_device
    from fedmq.node.kept_cases import KEPT_CASES, KeptCases
    from fedmq.node.worker import Worker
    from fedmq.settings import read_settings

    settings = read_settings()
    require_device(settings.task_device)
    found = find_containment(folder)
    require_containment(found, is_uncontained_allowed=settings.allow_uncontained)
    say(f"containment: {found.line}")
    if not found.is_enough:
        say("warning: plans run with the rights of this user (FEDMQ_ALLOW_UNCONTAINED)")
    limits = Limits(
        memory_bytes=settings.task_memory_mb and settings.task_memory_mb * _MB,
        scratch_bytes=settings.task_scratch_mb * _MB,
    )
    return found, lambda sink: Worker(
        folder / "scratch",
        sink,
        containment=found,
        limits=limits,
        timeout_s=settings.task_timeout_s,
        kept_cases=KeptCases(folder / KEPT_CASES, limit_bytes=settings.case_cache_mb * _MB),
    )


def read_max_threads() -> int:
    """Return with how many threads a task computes at most, and say it.

    Raises:
        ConfigurationError: the setting cannot be used.
    """
    from fedmq.node.cores import default_threads, usable_cores
    from fedmq.settings import read_settings

    most = read_settings().task_threads or default_threads()
    cores = usable_cores()
    say(f"threads: a task has {most} at most, of {cores} that this node may use")
    if most > cores:
        say("warning: FEDMQ_TASK_THREADS is more than the node may use; tasks take longer for it")
    return most

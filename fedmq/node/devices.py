"""Devices: on what tasks compute. Plans are contained, and see processors alone."""

from pathlib import Path
from typing import Final

from fedmq.errors import ConfigurationError

CPU: Final = "cpu"
_DEVICES: Final = Path("/dev")


def require_device(device: str, devices: Path = _DEVICES) -> None:
    """Return if tasks can compute on `device`, which is `cpu`, `cuda` or `cuda:NUMBER`.

    Raises:
        ConfigurationError: they cannot; nothing falls back to another device, which would compute
            other bits.
    """
    if device == CPU:
        return
    has_any = any(devices.glob("nvidia[0-9]*"))
    here = "a plan's cell shows it no graphics processor" if has_any else "this machine has none"
    raise ConfigurationError(
        f"tasks cannot compute on {device}",
        why=f"{here}; containment keeps devices from plans, so that this fedmq computes on cpu",
        fix="unset FEDMQ_TASK_DEVICE, or set it to cpu",
    )

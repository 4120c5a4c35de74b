"""The policy file: what a node's operator allows, in TOML, read again whenever it changes.

Whether it has is looked at between any two messages: by its length, times and number on the disk,
and by what it holds for as long as those may hide a change. A file
that is broken when the node starts ends the start. One that breaks, or goes, while the node
runs leaves the last good policy in force, and says so in the log until it is mended.
"""

import hashlib
import os
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedmq.errors import ConfigurationError
from fedmq.node.hours import Hours, parse_hours
from fedmq.node.policy import Policy

NAME: Final = "policy.toml"
"""In the node's folder."""
_MEGA: Final = 10**6
_USUAL: Final = Policy()
_HIDES_NS: Final = 2 * 10**9
"""So long after a change another one may leave the file's times as they are, on any file system."""
_SAY_AGAIN: Final = 60
"""Looks at a broken file between two lines of the log."""

log = structlog.get_logger()


class PolicyTable(BaseModel):
    """The keys of the file, with their bounds and defaults."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    min_cases: Annotated[int, Field(ge=1, le=10_000_000)] = _USUAL.min_cases
    min_nodes: Annotated[int, Field(ge=1, le=10_000)] = _USUAL.min_nodes
    require_study: bool = _USUAL.require_study
    approvals_needed: Annotated[int, Field(ge=1, le=10)] = _USUAL.approvals_needed
    max_approval_days: Annotated[int, Field(ge=1, le=36_500)] = _USUAL.max_approval_days
    max_payload_mb: Annotated[int, Field(ge=1, le=64_000)] = _USUAL.max_payload_bytes // _MEGA
    max_rounds_per_day: Annotated[int, Field(ge=1, le=100_000)] | None = None
    paused: bool = False
    hours: Annotated[list[str], Field(max_length=100)] = Field(default_factory=list)
    time_zone: str | None = None
    tell_data: bool = _USUAL.tells_data
    least_cell: Annotated[int, Field(ge=2, le=10_000)] = _USUAL.least_cell
    devices: Annotated[
        list[Annotated[str, Field(pattern=r"^(cpu|cuda:\d{1,2})$")]],
        Field(min_length=1, max_length=64),
    ] = Field(default_factory=lambda: list(_USUAL.devices))


class PolicyFile:
    """The policy that is in force."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark = _mark(path)
        self._content = _read(path)
        self._policy = _parse(path, self._content)
        self._num_bad_looks = 0

    def read(self) -> Policy:
        """Return the policy of the file as it is now; the last good one where it is broken."""
        mark = _mark(self._path)
        if mark is not None and mark == self._mark:
            return self._policy
        try:
            content = _read(self._path)
            if content == self._content:
                self._mark = mark
                self._num_bad_looks = 0
                return self._policy
            policy = _parse(self._path, content)
        except ConfigurationError as error:
            return self._stay(error.what)
        if content is None:
            return self._stay(f"{self._path.name} is gone")
        self._policy, self._content, self._num_bad_looks = policy, content, 0
        self._mark = mark
        log.info("policy_changed")
        return self._policy

    def _stay(self, what: str) -> Policy:
        if self._num_bad_looks % _SAY_AGAIN == 0:
            log.warning("policy_unreadable", in_force="the last good one", what=what)
        self._num_bad_looks += 1
        return self._policy


def read_policy(path: Path) -> Policy:
    """Return the policy of a file; where there is none, the strict one.

    Raises:
        ConfigurationError: the file cannot be read, or a key or a value is wrong; it is named.
    """
    return _parse(path, _read(path))


def table_of(policy: Policy) -> dict[str, Any]:
    """Return a policy by the keys of its file."""
    return {
        "min_cases": policy.min_cases,
        "min_nodes": policy.min_nodes,
        "require_study": policy.require_study,
        "approvals_needed": policy.approvals_needed,
        "max_approval_days": policy.max_approval_days,
        "max_payload_mb": policy.max_payload_bytes // _MEGA,
        "max_rounds_per_day": policy.max_rounds_per_day,
        "paused": policy.is_paused,
        "hours": [str(window) for window in policy.hours.windows],
        "time_zone": None if policy.zone is None else str(policy.zone),
        "tell_data": policy.tells_data,
        "least_cell": policy.least_cell,
        "devices": list(policy.devices),
    }


def _mark(path: Path) -> tuple[int, ...] | None:
    """Return what any change of a file changes, to be taken before it is read.

    None where that cannot be said: it is not there, or was changed a moment ago.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path takes longer, and this is asked for each message
    except OSError:
        return None
    if max(found.st_mtime_ns, found.st_ctime_ns) > time.time_ns() - _HIDES_NS:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(
            f"{path.name} cannot be read",
            why=error.strerror or str(error),
            fix="let the user of the node read it",
        ) from error


def _parse(path: Path, content: bytes | None) -> Policy:
    if content is None:
        return Policy()
    try:
        table = PolicyTable.model_validate(tomllib.loads(content.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path.name} is no TOML", why=str(error), fix="mend the line"
        ) from error
    except ValidationError as error:
        raise _fault(path, error) from error
    return Policy(
        min_cases=table.min_cases,
        min_nodes=table.min_nodes,
        require_study=table.require_study,
        approvals_needed=table.approvals_needed,
        max_approval_days=table.max_approval_days,
        max_payload_bytes=table.max_payload_mb * _MEGA,
        max_rounds_per_day=table.max_rounds_per_day,
        is_paused=table.paused,
        hours=_named(path, "hours", lambda: parse_hours(table.hours)),
        zone=None if table.time_zone is None else _zone(path, table.time_zone),
        tells_data=table.tell_data,
        least_cell=table.least_cell,
        devices=tuple(table.devices),
        file=hashlib.sha256(content).hexdigest(),
    )


def _named(path: Path, key: str, parse: Callable[[], Hours]) -> Hours:
    try:
        return parse()
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{path.name}: {key}: {error.what}", why=error.why, fix=error.fix
        ) from error


def _zone(path: Path, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"{path.name}: time_zone {name!r} is not known here",
            why="expected: a name such as Europe/Paris",
            fix="mend the name, or leave it out for the machine's own",
        ) from error


def _fault(path: Path, error: ValidationError) -> ConfigurationError:
    fault = error.errors(include_url=False)[0]
    key = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return ConfigurationError(
            f"{path.name} has no key {key!r}",
            why=f"expected: one of {', '.join(sorted(PolicyTable.model_fields))}",
            fix="mend the name, or leave it out",
        )
    return ConfigurationError(
        f"{path.name}: {key} cannot be used",
        why=f"{fault['msg']}; got: {fault['input']!r}",
        fix="mend the value",
    )

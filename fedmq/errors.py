"""Every error that fedmq raises on purpose.

FedmqError
├── ConfigurationError    a person's input: settings, files, names, experiment.toml
│   └── SecondStore           two programs, each with a store, serve as one orchestrator
├── ProtocolError         a message that breaks the protocol, with a reason code
├── ParametersError       named arrays that do not fit: name, shape, dtype, not finite
├── StorageError          the disk: read-only, failing, a damaged journal
│   ├── DiskFull              no room on it: services wait for some and go on
│   └── LeaseLost             another program has taken over what this one kept there
├── TransportError        the way to the broker
│   ├── BrokerUnavailable     nobody answers
│   │   └── WayBlocked            something stands between: a proxy, an inspection, a portal
│   └── BrokerRefused         it answers, and says no: password, rights, missing queue
├── HubError              the private broker could not be started, reached or stopped
├── DatasetError          a dataset, case or volume cannot be read as declared
├── PlanError             a training plan that cannot be loaded or does not keep its protocol
└── TrainingError         training ran and broke

An error says *what* failed, *why*, and the *fix* with who applies it. Texts are for the machine
they arise on; what leaves a site are reason codes only.
"""

from typing import Final

IF_REVOKED: Final = (
    "ask the hub's operator whether this member was revoked; if so, end its program and keep what"
    " it stored; if not, "
)
"""Begins the fix of a member that is refused, or has no keys any more: it cannot know why."""


class FedmqError(Exception):
    """The root: `what` failed, `why`, and how to `fix` it."""

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        """Return the three parts on one line, the empty ones left out."""
        parts = [self.what]
        if self.why:
            parts.append(f"why: {self.why}")
        if self.fix:
            parts.append(f"fix: {self.fix}")
        return "; ".join(parts)


class ConfigurationError(FedmqError):
    """A setting, file, name or experiment given by a person is not usable."""


class SecondStore(ConfigurationError):  # noqa: N818 - what is there, and may not be
    """Another program, with a store of its own, serves under the same orchestrator's name."""


class ProtocolError(FedmqError):
    """Bytes or fields that are no fedmq message.

    `reason` is a short code from a fixed vocabulary (`fedmq.messages.codec`), fit to leave a site.
    """

    def __init__(self, reason: str, what: str = "", *, why: str = "", fix: str = "") -> None:
        super().__init__(what or reason.replace("_", " "), why=why, fix=fix)
        self.reason = reason


class ParametersError(FedmqError):
    """Named arrays that are not what the model declares."""


class StorageError(FedmqError):
    """The disk refused: full, read-only, failing, or a file on it is damaged."""


class DiskFull(StorageError):  # noqa: N818 - a state of the disk, said as one
    """There is no room on the disk, or none is left to this user."""


class LeaseLost(StorageError):  # noqa: N818 - a state of the store, said as one
    """Another program leads the store by now: this one writes and sends nothing more."""


class TransportError(FedmqError):
    """The way to the broker."""


class BrokerUnavailable(TransportError):  # noqa: N818 - a state of the broker, said as one
    """No broker answers at the address."""


class WayBlocked(BrokerUnavailable):
    """Something between this machine and the broker lets nothing through, or reads along.

    `code` is a short reason from a fixed vocabulary (docs/operators.md).
    """

    def __init__(self, code: str, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what, why=why, fix=fix)
        self.code = code


class BrokerRefused(TransportError):  # noqa: N818 - a state of the broker, said as one
    """The broker answers and refuses: wrong password, missing right, missing queue."""


class HubError(FedmqError):
    """The private broker could not be started, reached or stopped."""


class DatasetError(FedmqError):
    """A dataset, a case or a volume cannot be read as declared.

    `code` is a short reason from a fixed vocabulary; `case` names the case, where there is one.
    """

    def __init__(
        self, what: str, *, code: str = "unreadable", case: str = "", why: str = "", fix: str = ""
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.code = code
        self.case = case


class PlanError(FedmqError):
    """A training plan cannot be loaded, or does not keep its protocol."""


class TrainingError(FedmqError):
    """Training ran and broke."""

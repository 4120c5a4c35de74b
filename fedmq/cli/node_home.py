"""The home of a node, for the commands that work in it."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedmq.hub.membership import Membership
    from fedmq.node.policy import Policy
    from fedmq.node.records import Records


def require_node(*, or_else: str = "") -> Path:
    """Return the node's folder; `or_else` says what may be done before there is one.

    Raises:
        ConfigurationError: this machine is no node yet.
    """
    from fedmq.errors import ConfigurationError
    from fedmq.settings import read_settings

    home = read_settings().node
    if not (home / "credentials.toml").exists():
        raise ConfigurationError(
            "this machine is no node yet",
            why=f"{home} holds no credentials",
            fix="fedmq node join TOKEN; the hub's operator has the token: fedmq hub add-node NAME"
            + (f"; {or_else}" if or_else else ""),
        )
    return home


def open_own_records() -> "Records":
    """Return what the node keeps, which the service may have open at the same time."""
    from fedmq.node.records import open_records
    from fedmq.transport.home import LocalHome

    return open_records(LocalHome(require_node()), by=operator_name())


def open_membership() -> "Membership":
    """Return the node's credentials and keys.

    Raises:
        ConfigurationError: this machine is no node yet, or they are damaged.
    """
    from fedmq.hub.membership import read_membership
    from fedmq.types import Role

    return read_membership(require_node() / "credentials.toml", Role.NODE)


def operator_name() -> str:
    """Return the name by which the machine knows who types; the audit log has it."""
    import getpass
    import os

    from fedmq.audit.facts import plain

    try:
        return plain(getpass.getuser())
    except (KeyError, OSError):  # a user without a name, as in a container
        return f"uid-{os.getuid()}"


def policy_path() -> Path:
    """Return where the node's policy file is, or would be."""
    from fedmq.node.policy_file import NAME

    return require_node() / NAME


def read_own_policy() -> "Policy":
    """Return what the node's operator allows.

    Raises:
        ConfigurationError: this machine is no node yet, or the policy file is wrong.
    """
    from fedmq.node.policy_file import read_policy

    return read_policy(policy_path())

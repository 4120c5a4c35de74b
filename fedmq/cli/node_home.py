"""The home of a node, for the commands that work in it."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedmq.transport.journal import Journal


def require_node() -> Path:
    """Return the node's folder.

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
            fix="fedmq node init NAME --credentials FILE",
        )
    return home


def open_own_journal() -> "Journal":
    """Return the node's journal, which the service may have open at the same time."""
    from fedmq.node.service import open_journal

    return open_journal(require_node())

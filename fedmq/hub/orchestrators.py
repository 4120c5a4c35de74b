"""Orchestrators beside the one that every hub has."""

from fedmq.hub.equipment import require_not_revoked
from fedmq.hub.members import Hub
from fedmq.types import Role


def add_orchestrator(hub: Hub, name: str) -> bool:
    """Return whether an orchestrator is new; it is in the roster, with its files at the hub.

    Nodes hold such a roster until their operators agree to its keys. Killed at any moment and done
    again, it is whole.

    Raises:
        ConfigurationError: the name cannot be one, is another's, or was revoked; the authority is
            on another machine.
        TransportError: an external broker does not answer or refuses; ask again.
    """
    hub.authority.certificates()
    require_not_revoked(hub.authority.roster(), name)
    known = hub.register().find(name)
    hub.add_member(name, Role.ORCHESTRATOR)
    return known is None or not known.is_equipped

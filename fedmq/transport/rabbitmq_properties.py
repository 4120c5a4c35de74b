"""Properties of messages, as pika has them and as the transports' port has them."""

from typing import Any, Final

from pika.spec import BasicProperties

from fedmq.transport.ports import Properties

TICKET_HEADER: Final = "fedmq-ticket"
"""The ticket goes with what may be returned: a return names no delivery tag."""
_PERSISTENT: Final = 2


def to_pika(properties: Properties, user: str, headers: dict[str, Any]) -> BasicProperties:
    """Return the properties of a publication by `user`, with the headers of its way."""
    expiration = properties.expiration_ms
    return BasicProperties(
        content_type=properties.content_type,
        headers=headers or None,
        delivery_mode=_PERSISTENT if properties.persistent else 1,
        correlation_id=properties.correlation_id or None,
        expiration=None if expiration is None else str(expiration),
        message_id=properties.message_id or None,
        timestamp=properties.timestamp or None,
        type=properties.type or None,
        user_id=user,
        app_id=properties.app_id or None,
    )


def from_pika(properties: BasicProperties) -> Properties:
    """Return the properties of a delivery; of headers that are no text the name alone is left."""
    headers = {
        str(name): value if isinstance(value, str) else ""
        for name, value in (properties.headers or {}).items()
        if name != TICKET_HEADER
    }
    return Properties(
        type=properties.type or "",
        message_id=properties.message_id or "",
        correlation_id=properties.correlation_id or "",
        user_id=properties.user_id or "",
        app_id=properties.app_id or "",
        content_type=properties.content_type or "",
        timestamp=properties.timestamp or 0,
        expiration_ms=_milliseconds(properties.expiration),
        persistent=properties.delivery_mode == _PERSISTENT,
        headers=headers,
    )


def _milliseconds(expiration: str | None) -> int | None:
    return int(expiration) if expiration is not None and expiration.isdecimal() else None

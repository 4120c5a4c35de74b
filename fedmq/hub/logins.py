"""The login of a member on this machine: its membership, and what the machine's settings say."""

from dataclasses import replace
from typing import TYPE_CHECKING

from fedmq.hub.membership import Membership
from fedmq.hub.proxies import proxy_of
from fedmq.settings import Settings

if TYPE_CHECKING:
    from fedmq.transport.rabbitmq import Login


def login_of(membership: Membership, settings: Settings, program: str) -> "Login":
    """Return the member's way to the broker as the settings have it: heartbeat, pauses, TLS, proxy.

    Raises:
        ConfigurationError: the broker's address or the proxy cannot be used.
    """
    login = membership.login(
        program,
        heartbeat_s=settings.heartbeat_s,
        allows_tls_1_2=settings.tls_1_2,
        proxy=proxy_of(settings),
    )
    return replace(login, reconnect_s=settings.reconnect_s)

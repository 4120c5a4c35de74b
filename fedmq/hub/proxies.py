"""The proxy that this machine's settings name."""

from fedmq.settings import Settings
from fedmq.transport.proxy import Proxy, read_proxy


def proxy_of(settings: Settings) -> Proxy | None:
    """Return the proxy through which members on this machine go; None: the way is direct.

    Raises:
        ConfigurationError: the address is none, or the file of its password cannot be used.
    """
    if settings.proxy is None:
        return None
    return read_proxy(settings.proxy.get_secret_value(), settings.read_proxy_password())

"""pika's connections through an HTTP proxy: its own sockets, opened by CONNECT before TLS begins.

pika has no proxies. It asks its I/O services for a name's addresses and for a connected socket;
here both are the proxy's, and a socket is handed on once the proxy has opened the way to the
broker. TLS and all that follows are between pika and the broker as ever. No port is opened.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.adapters.utils.nbio_interface import AbstractIOReference, AbstractTimerReference
from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter

from fedmq.errors import WayBlocked
from fedmq.transport.address import Address
from fedmq.transport.proxy import Proxy, ask_for, is_open, nobody_there, says_nothing, went_away

_PIECE: Final = 4096
_PATIENCE_S: Final = 8.0
"""Less than pika's own, which would speak of the broker, of whom nothing is known yet."""

Done = Callable[[BaseException | None], None]


class Tunnel(SelectorIOServicesAdapter):
    """I/O services whose connected sockets lead through a proxy."""

    def __init__(self, loop: IOLoop, proxy: Proxy) -> None:
        super().__init__(loop)  # type: ignore[arg-type] # pika's own loop has other handles
        self._proxy = proxy
        self._target = proxy.address

    def getaddrinfo(  # type: ignore[override] # pika hands over a host and a port
        self,
        host: str,
        port: int,
        on_done: Callable[..., None],
        **options: Any,  # noqa: ANN401
    ) -> AbstractIOReference:
        """Find the proxy's addresses; the broker's name is the proxy's to resolve."""
        self._target = Address(host, port)

        def found(result: object) -> None:
            if isinstance(result, OSError):
                result = nobody_there(self._proxy, result.strerror or "its name is not known")
            on_done(result)

        host, port = self._proxy.address
        return super().getaddrinfo(host, port, found, **options)

    def connect_socket(  # type: ignore[override] # what is awaited is its cancel()
        self, sock: socket.socket, resolved_addr: tuple[str, int], on_done: Done
    ) -> AbstractIOReference:
        """Connect to the proxy, and hand the socket on once it leads to the broker."""
        opening = _Opening(self, sock, self._proxy, self._target, on_done)
        opening.step = super().connect_socket(sock, resolved_addr, opening.on_connected)
        return opening


class _Opening(AbstractIOReference):
    """One socket on its way through the proxy."""

    def __init__(
        self, io: Tunnel, sock: socket.socket, proxy: Proxy, target: Address, on_done: Done
    ) -> None:
        self.step: AbstractIOReference | None = None
        self._io = io
        self._socket = sock
        self._proxy = proxy
        self._target = target
        self._on_done = on_done
        self._unsent = ask_for(target, proxy)
        self._answer = b""
        self._is_over = False
        self._patience: AbstractTimerReference | None = None

    def cancel(self) -> bool:
        """Stop; pika closes the socket, as when the time is over."""
        if self._is_over:
            return False
        self._stop()
        if self.step is not None:
            self.step.cancel()
        return True

    def on_connected(self, error: BaseException | None) -> None:
        """Begin to speak with the proxy, if it is there."""
        self.step = None
        if error is not None:
            why = getattr(error, "strerror", None) or str(error)
            self._end(nobody_there(self._proxy, why))
            return
        self._patience = self._io.call_later(
            _PATIENCE_S, lambda: self._end(says_nothing(self._target, self._proxy))
        )
        self._io.set_reader(self._socket.fileno(), self._read)
        self._io.set_writer(self._socket.fileno(), self._write)

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._end(went_away(self._proxy))
            return
        if not self._unsent:
            self._io.remove_writer(self._socket.fileno())

    def _read(self) -> None:
        try:
            piece = self._socket.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._end(went_away(self._proxy))
            return
        self._answer += piece
        try:
            has_way = is_open(self._answer, self._target, self._proxy)
        except WayBlocked as blocked:
            self._end(blocked)
            return
        if has_way:
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        self._stop()
        self._on_done(error)

    def _stop(self) -> None:
        self._is_over = True
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._io.remove_reader(self._socket.fileno())
        self._io.remove_writer(self._socket.fileno())


def tunnelled(proxy: Proxy) -> type[SelectConnection]:
    """Return connections through a proxy, for pika's blocking ones to stand on."""

    class Tunnelled(SelectConnection):
        @classmethod
        def create_connection(  # type: ignore[override] # pika's own signature
            cls,
            connection_configs: Sequence[Any],
            on_done: Callable[..., None],
            custom_ioloop: Any = None,  # noqa: ANN401 - pika's own signature
            workflow: Any = None,  # noqa: ANN401
        ) -> Any:  # noqa: ANN401
            io = Tunnel(custom_ioloop or IOLoop(), proxy)
            return cls._start_connection_workflow(  # type: ignore[attr-defined]
                connection_configs=connection_configs,
                connection_factory=lambda parameters: cls(
                    parameters=parameters, custom_ioloop=io, internal_connection_workflow=False
                ),
                nbio=io,
                workflow=workflow,
                on_done=on_done,
            )

    return Tunnelled

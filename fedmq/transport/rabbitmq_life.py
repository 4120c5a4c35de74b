"""What the parts of a link share: its life."""

from typing import Protocol

from fedmq.transport.ports import TransportEvent


class Life(Protocol):
    """One life of a pair of connections, as those know it who publish, declare and read on it."""

    @property
    def is_ready(self) -> bool:
        """Whether everything that belongs to the beginning is done."""

    @property
    def is_dead(self) -> bool:
        """Whether it is over; nothing is told any more."""

    def done(self, step: str) -> None:
        """Note that a step of the beginning is done."""

    def tell(self, event: TransportEvent) -> None:
        """Hand on an event, once the life is ready."""

    def end(self, why: str, *, refused: bool) -> None:
        """End both connections; told once."""

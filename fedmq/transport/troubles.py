"""Why nothing goes or comes, in words for people: the latest word of each part of the way."""

from fedmq.transport.ports import (
    Blocked,
    Connected,
    ConsumerBack,
    ConsumerLost,
    Disconnected,
    Nacked,
    Returned,
    TransportEvent,
)


class Troubles:
    """What ails a way to the broker; one trouble does not hide the end of another."""

    def __init__(self) -> None:
        self._link = "connecting to the broker"
        self._blocked = ""
        self._lost: dict[str, str] = {}

    @property
    def words(self) -> str:
        """What ails it, the worst first; empty while all is well."""
        return self._link or self._blocked or next(iter(self._lost.values()), "")

    @property
    def is_blocked(self) -> bool:
        """Whether the broker takes nothing for now."""
        return bool(self._blocked)

    def note(self, event: TransportEvent) -> None:
        """Take the events that begin a trouble or end one."""
        match event:
            case Connected():
                self._begin_anew("")
            case Disconnected(why=why):
                self._begin_anew(why)
            case Blocked(blocked=True, why=why):
                self._blocked = f"the broker takes no messages now, its operator knows why: {why}"
            case Blocked():
                self._blocked = ""
            case ConsumerLost(queue=queue, why=why):
                self._lost[queue] = f"{queue or 'a queue'} cannot be read: {why}"
            case ConsumerBack(queue=queue):
                self._lost.pop(queue, None)
            case _:
                pass

    def _begin_anew(self, link: str) -> None:
        self._link, self._blocked = link, ""
        self._lost.clear()


def refusal_of(event: Nacked | Returned) -> str:
    """Return why the broker has not taken a message."""
    match event:
        case Nacked():
            return "a queue takes no message: it is full, or not ready"
        case Returned(routing_key=key):
            return f"there is no queue for {key}"

"""`fedmq` whose members neither sign nor seal: for measuring what that costs, and nothing else.

    python -m benchmarks.unprotected node start

Everything else is as it is: the same programs, journals, policies and containment.
"""

from collections.abc import Callable

from fedmq.cli.main import main
from fedmq.hub.membership import Membership
from fedmq.simulation.plain_wire import PlainWire


def plain(_membership: Membership, _tell: Callable[[str, int, str], None] = print) -> PlainWire:
    """Return a wire that hides nothing from anybody."""
    return PlainWire()


if __name__ == "__main__":
    Membership.wire = plain  # type: ignore[method-assign,assignment]
    main()

"""Patience: how much a node keeps for researchers whom it does not know yet, and how long. Pure.

Who passes orders on says by which roster they were signed. Without these limits one who names a
roster that never comes could fill the node's disk with orders of nobody.
"""

from typing import Final

from fedmq.messages.replies import RefusalCode
from fedmq.node.policy import Objection

MAX_AWAITING: Final = 100
"""Requests of one sender that wait for a newer roster; they stay, others are refused."""
MAX_AWAITING_S: Final = 24 * 3600.0
"""So long a request waits for it, by the node's own clock since it came."""
_IMPATIENT: Final = Objection(code=RefusalCode.ROSTER_MISSING)


def lose_patience(
    objection: Objection | None, *, num_awaiting: int = 0, waited_s: float = 0.0
) -> Objection | None:
    """Return the objection to a request beside which so many others wait for a newer roster."""
    is_awaited = objection is not None and objection.code is RefusalCode.ROSTER_AWAITED
    is_enough = num_awaiting >= MAX_AWAITING or waited_s > MAX_AWAITING_S
    return _IMPATIENT if is_awaited and is_enough else objection

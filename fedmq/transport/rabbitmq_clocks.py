"""What a certificate that is not good at this hour may mean: it is over, or a clock is wrong.

OpenSSL here and Erlang there compare the same two days of a certificate with their own clock each;
neither says what its clock shows, so that this is said beside it. Pure.
"""

import time
from typing import Final

_NOT_YET: Final = "certificate is not yet valid"
_OVER: Final = "certificate has expired"
_REFUSED: Final = ("alert certificate expired", "alert bad certificate")
"""What a broker answers to who shows it one that is over, or not good yet: the same for both."""


def clock_words(text: str, now: float) -> str:
    """Return what to say of TLS's words, and whom to ask; empty where they are of something else.

    `now` is this machine's clock, in Unix seconds.
    """
    clock = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if _NOT_YET in text:
        return (
            f"the broker's certificate is not good yet: this machine's clock says {clock}; "
            "set the clock, and it goes on by itself"
        )
    if _OVER in text:
        return (
            f"the broker's certificate has ended: this machine's clock says {clock}; if that is "
            "wrong, set the clock; if not, the hub's operator: fedmq hub up"
        )
    if any(words in text for words in _REFUSED):
        return (
            "the broker says that this login's certificate has ended or not begun: this machine's "
            f"clock says {clock}; if that is right, ask the hub's operator for a new one (fedmq hub"
            " renew), and to look at the broker's clock"
        )
    return ""

"""What a broker's word against this login's certificate may mean.

It is over or a clock is wrong, or it was taken back. Erlang compares the two days of a certificate
with the broker's own clock and does not say what that shows, so this machine's is said beside it.
Of the broker's certificate `inspection` speaks. Pure.
"""

import time
from typing import Final

_REFUSED: Final = ("alert certificate expired", "alert bad certificate")
"""What a broker answers to who shows it one that is over, or not good yet: the same for both."""
_REVOKED: Final = "alert certificate revoked"


def certificate_words(text: str, now: float) -> str:
    """Return what to say of TLS's words, and whom to ask; empty where they are of something else.

    `now` is this machine's clock, in Unix seconds.
    """
    if is_revoked(text):
        return (
            "the hub has taken this login's certificate back, as it does with keys that were"
            " stolen and with members who left; if that is a surprise, telephone the hub's operator"
        )
    if not any(words in text for words in _REFUSED):
        return ""
    clock = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    return (
        "the broker says that this login's certificate has ended or not begun: this machine's "
        f"clock says {clock}; if that is right, ask the hub's operator for a new one (fedmq hub"
        " renew), and to look at the broker's clock"
    )


def is_revoked(text: str) -> bool:
    """Return whether TLS's words say that the certificate was taken back."""
    return _REVOKED in text

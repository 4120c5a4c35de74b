"""Updates that came: are they what the model and the experiment declare, and are they numbers?"""

from typing import Final

from fedmq.encodings.kinds import EXACT, Encoding
from fedmq.encodings.reader import EncodedUpdate
from fedmq.errors import ParametersError
from fedmq.parameters import Readable, file_layout

MISSHAPEN: Final = "update_misshapen"


def find_fault(update: Readable, reference: Readable, encoding: Encoding = EXACT) -> str | None:
    """Return why an update cannot be folded into the model it was asked for, None if it can.

    The file is read block by block: memory does not grow with the model.
    """
    try:
        return EncodedUpdate(update, file_layout(reference), encoding).find_fault()
    except ParametersError:
        return MISSHAPEN

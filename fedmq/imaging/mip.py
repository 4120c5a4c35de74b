"""Maximum intensity projections: what is brightest along a line of sight, for a whole body at once.

Two of them, from the front and from the side, are what networks for outcomes look at where a whole
volume costs too much. A CT's shows bone, and the table.
"""

from typing import Literal

import numpy as np

from fedmq.imaging.resampling import Floats
from fedmq.imaging.stored import FULL, StoredCase

View = Literal["coronal", "sagittal"]


def mip(case: StoredCase, view: View) -> Floats:
    """Return PET and CT as seen from the front or the left, 0 to 1, float32.

    Coronal: shape (2, X, Z); sagittal: shape (2, Y, Z); RAS+. They lie in the cache beside the
    case, and cost nothing but the reading.
    """
    projected = case.coronal if view == "coronal" else case.sagittal
    return np.asarray(projected * np.float32(1.0 / FULL), dtype=np.float32)

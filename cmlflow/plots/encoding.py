"""Arrays as text within a page; the script of the page reads them back."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray


def encoded_floats(value: NDArray[Any]) -> str:
    """In four bytes each."""
    return b64encode(np.ascontiguousarray(value, "<f4").tobytes()).decode()


def encoded_ints(value: NDArray[Any]) -> str:
    """In two bytes each where they fit, else in four; the script tells which by the length."""
    small = not len(value) or (value.min() >= -(2**15) and value.max() < 2**15)
    return b64encode(np.ascontiguousarray(value, "<i2" if small else "<i4").tobytes()).decode()

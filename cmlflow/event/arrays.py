"""Arrays out of whatever callers and files give: nothing is cut, rounded or unmasked without a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event.records import IntArray

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)


def plain(value: Any) -> NDArray[Any]:
    """An array of real numbers; torch tensors of any device and precision become arrays.

    Raises
    ------
    ValueError
        Says what the value is: masked, complex, a time, a record, text, ragged, a tensor that is sparse or has no
        values.
    """
    if hasattr(value, "detach"):
        value = _tensor(value)
    if isinstance(value, (list, tuple)) and any(hasattr(v, "mask") or hasattr(v, "detach") for v in value):
        value = [plain(v) for v in value]
    try:
        array = np.asanyarray(value)
    except Exception as err:  # whatever an object's own conversion raises
        raise ValueError(f"is {short(value)}, expected numbers of one shape") from err
    if np.ma.is_masked(array):
        first = tuple(int(i) for i in np.argwhere(np.ma.getmaskarray(array))[0])
        at = first[0] if len(first) == 1 else first
        raise ValueError(f"is masked at {at}, expected plain numbers: fill the masked values or drop them")
    if array.dtype.kind == "O":
        array = _numbers(array, value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"is {short(value)}, expected numbers of one shape, not values of type {array.dtype}")
    return np.asarray(array)


def _tensor(value: Any) -> Any:
    if getattr(value, "is_meta", False):
        raise ValueError("is a tensor on the device 'meta', which has no values")
    if "strided" not in str(getattr(value, "layout", "strided")) or getattr(value, "is_nested", False):
        raise ValueError(f"is a tensor with layout {value.layout}, expected a dense one")
    if getattr(value, "is_quantized", False):
        raise ValueError(f"is a quantized tensor ({value.dtype}), expected plain numbers")
    value = value.detach().cpu()
    value = value.resolve_conj().resolve_neg()
    return (value.double() if value.is_floating_point() else value).numpy()


def _numbers(array: NDArray[Any], value: Any) -> NDArray[Any]:
    """Objects that are numbers: large ones of Python, fractions, decimals, None as nan."""
    try:
        if any(isinstance(v, (str, bytes, complex, np.complexfloating)) for v in array.reshape(-1)):
            raise TypeError("not a real number")
        return array.astype(np.float64)
    except Exception as err:
        raise ValueError(f"is {short(value)}, expected numbers of one shape") from err


def whole(
    values: Any, name: str, entry: str = "hit", *, low: int = INT64[0], high: int = INT64[1], where: str = ""
) -> IntArray:
    """The one conversion to whole numbers: what is none, or outside the range, is refused, never cut.

    Parameters
    ----------
    values : array_like
        Integers, booleans, or floats with whole values.
    name : str
        What messages call them.
    entry : str
        What messages call one of them.
    low, high : int
        Smallest and largest value allowed.
    where : str
        Put before the message, such as ``"event 7: "``.

    Returns
    -------
    ndarray of the same shape, int64

    Raises
    ------
    ValueError
        Names the first value at fault and its place.

    Examples
    --------
    >>> whole([1.0, 2.0], "layer").tolist()
    [1, 2]
    >>> whole([0, 1.5], "layer")
    Traceback (most recent call last):
    ValueError: layer of hit 1 is 1.5, expected integers
    """
    try:
        array = plain(values)
    except ValueError as err:
        raise ValueError(f"{where}{name} {err}") from None
    if array.dtype.kind == "f":
        bad = ~((array >= float(low)) & (array <= float(high)) & (np.floor(array) == array))
        bad |= array >= 2.0**63  # float(2**63 - 1) is 2**63
    elif array.dtype == np.bool_:
        bad = np.zeros(array.shape, np.bool_)
    else:
        info = np.iinfo(array.dtype)
        if low <= info.min and info.max <= high:
            return np.array(array, np.int64, order="C")  # a copy
        bad = np.zeros(array.shape, np.bool_)
        if info.min < low:
            bad |= array < low
        if info.max > high:
            bad |= array > high
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0]) if array.ndim else ()
        at = f" of {entry} {first[0] if len(first) == 1 else first}" if first else ""
        limits = "" if (low, high) == INT64 else f" in {low}..{high}"
        raise ValueError(f"{where}{name}{at} is {array[first]}, expected integers{limits}")
    return np.array(array, np.int64, order="C")  # a copy


def whole_number(value: Any, name: str, where: str = "") -> int:
    """One whole number that fits 64 bits; see `whole`.

    Raises
    ------
    ValueError
        Names what it is instead.
    """
    array = None
    if not isinstance(value, (str, bytes, Sequence)) and np.ndim(value) == 0:
        if isinstance(value, int):  # floats would lose digits
            if INT64[0] <= value <= INT64[1]:
                return int(value)
        else:
            array = whole(value, name, where=where)
    if array is None or array.ndim:
        raise ValueError(f"{where}{name} is {short(value)}, expected an integer that fits 64 bits")
    return int(array)


def short(value: Any) -> str:
    """The beginning of what `repr` gives, on one line."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # the value's own repr fails: tell its type
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."

"""Checks of what a file gives for an associator: the type of every field, and that the parts fit each other."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from cmlflow.association.associator import Associator

COUNTS = {"nearest": 1, "rounds": 0}
"""Whole numbers and the least value of each."""


def check_stored(associator: Associator) -> None:
    """Every field has its type, numbers are not nan, and the rows of the sharing are as long as its centre.

    Raises
    ------
    ValueError
        Names the field and its value.
    """
    _check(associator, "")
    sharing = associator.sharing
    if sharing is None or associator.scale is None:
        raise ValueError("sharing or scale is missing, expected a fitted associator")
    lengths = {len(sharing.centre), len(sharing.scale), *(len(row) for row in sharing.weights)}
    if not sharing.weights or len(lengths) != 1 or 0 in sharing.scale:
        raise ValueError(
            f"sharing has {len(sharing.weights)} rows of weights; they, centre and scale have the lengths "
            f"{sorted(lengths)}, expected one length, and no scale of 0"
        )
    if len(sharing.origin) not in (0, 4):
        raise ValueError(f"sharing.origin has {len(sharing.origin)} numbers, expected 4, or none")


def _check(part: Any, name: str) -> None:
    hints = typing.get_type_hints(type(part))
    for field in fields(part):
        value, title = getattr(part, field.name), f"{name}{field.name}"
        if is_dataclass(value):
            _check(value, f"{title}.")
        elif isinstance(value, Mapping):
            for key, one in value.items():
                _check(one, f"{title}.{key}.")
        elif not _fits(value, hints[field.name]):
            raise ValueError(f"{title} is {value!r}, expected {hints[field.name]}")
        elif field.name in COUNTS and value < COUNTS[field.name]:
            raise ValueError(f"{title} is {value!r}, expected {COUNTS[field.name]} or more")


def _fits(value: Any, hint: Any) -> bool:
    origin, given = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in given)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if given[-1] is Ellipsis:
            return all(_fits(v, given[0]) for v in value)
        return len(value) == len(given) and all(_fits(v, g) for v, g in zip(value, given, strict=True))
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
    if hint is str:
        return isinstance(value, str)
    return True

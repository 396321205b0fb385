"""Features of hits as branches ``hit_<name>`` of a tree."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event.checks import NOT_FEATURES

_NUMBERS = re.compile(r"(u?int\d+_t|float|double|bool)\[\]")


def feature_branches(tree: Any, known: Collection[str]) -> dict[str, str]:
    """Branches with a list of numbers per event whose name begins with ``hit_``, and the names of the features."""
    out = {}
    for branch in tree.keys(recursive=False):
        name = branch.removeprefix("hit_")
        kind = str(tree[branch].typename).replace("std::", "")
        plain = _NUMBERS.fullmatch(kind) or re.fullmatch(r"vector<(u?int\d+_t|float|double|bool)>", kind)
        if name != branch and branch not in known and plain and name.isidentifier() and name not in NOT_FEATURES:
            out[branch] = name
    return out


def stacked(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Features of several columns from branches ``name__0``, ``name__1``, ...; others as they are.

    Examples
    --------
    >>> {name: a.shape for name, a in stacked({"t": np.ones(3), "p__0": np.ones(3), "p__1": np.ones(3)}).items()}
    {'t': (3,), 'p': (3, 2)}
    """
    groups: dict[str, list[NDArray[Any]]] = {}
    for name, values in columns.items():
        groups.setdefault(name.partition("__")[0] if re.fullmatch(r".+__\d+", name) else name, []).append(values)
    return {name: group[0] if name in columns else np.stack(group, axis=1) for name, group in groups.items()}

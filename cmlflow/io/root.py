"""Reading ROOT trees in blocks of entries, with errors that name the file and the branch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

from cmlflow.event import IntArray
from cmlflow.io.files import FormatError, one_line
from cmlflow.io.plain_source import PlainSource

T = TypeVar("T")
TYPICAL_EVENT = 250_000  # bytes, where the file does not say how much it holds: 4,000 hits of eight columns


@dataclass(frozen=True)
class Jagged:
    """A branch over some entries: entry i has values[offsets[i]:offsets[i + 1]]."""

    offsets: IntArray
    values: NDArray[Any]

    @property
    def counts(self) -> IntArray:
        """Number of values of each entry."""
        return np.diff(self.offsets)

    def __getitem__(self, i: Any) -> Any:
        return self.values[self.offsets[i] : self.offsets[i + 1]]


def guarded(path: Path, what: str, read: Callable[[], T]) -> T:
    """The result of `read`; any error of uproot on a damaged file becomes a `FormatError`."""
    try:
        return read()
    except (FormatError, PermissionError, FileNotFoundError):
        raise
    except (
        Exception
    ) as err:  # uproot raises zlib, struct, index, value, key, memory and its own errors on damaged files
        raise FormatError(f"{path}: {what} cannot be read, the file is damaged or cut short: {one_line(err)}") from err


def open_root(path: Path) -> Any:
    """The open ROOT file.

    Raises
    ------
    FormatError
        It is no ROOT file, or is cut short.
    """
    with open(path, "rb") as file:
        if file.read(4) != b"root":
            raise FormatError(f"{path} is no ROOT file")
    file_handle = guarded(path, "its directory", lambda: uproot.open(path, handler=PlainSource))
    end = int(file_handle.file.fEND)
    if path.stat().st_size < end:
        raise FormatError(f"{path} is cut short: it has {path.stat().st_size} bytes of {end}")
    return file_handle


def read_note(path: Path, file: Any, name: str) -> str | None:
    """A string beside the trees; None where there is none.

    Raises
    ------
    FormatError
        Where something else has that name.
    """
    note = guarded(path, name, lambda: file.get(name, None))
    if note is not None and not isinstance(note, str):
        raise FormatError(f"{path}: {name} is a {type(note).__name__}, expected a string")
    return note if note is None else guarded(path, name, lambda: str(note))


def open_tree(path: Path, name: str, required: Iterable[str]) -> Any:
    """A tree of a ROOT file.

    Raises
    ------
    FormatError
        The file has no such tree, or the tree lacks a branch; the message names those that are missing.
    """
    file = open_root(path)
    if not guarded(path, "its directory", lambda: name in file):
        trees = guarded(path, "its directory", lambda: ", ".join(sorted({key.split(";")[0] for key in file})))
        trees = trees or "nothing"
        raise FormatError(f"{path} has no tree {name}; it has {trees}")
    tree = guarded(path, f"tree {name}", lambda: file[name])
    if not hasattr(tree, "num_entries"):
        raise FormatError(f"{path}: {name} is a {type(tree).__name__}, expected a tree")
    missing = guarded(path, f"tree {name}", lambda: [branch for branch in required if branch not in tree])
    if missing:
        raise FormatError(f"{path}: tree {name} lacks the branches {', '.join(missing)}")
    return tree


def read_jagged(path: Path, tree: Any, branches: Iterable[str], start: int, stop: int) -> dict[str, Jagged]:
    """Branches with a list per entry, over the entries start..stop-1."""
    out: dict[str, Jagged] = {}
    for branch in branches:
        what = f"branch {branch}, entries {start}..{stop - 1}"
        array = guarded(path, what, partial(_array, tree, branch, start, stop))
        if array.ndim != 2:
            raise FormatError(f"{path}: branch {branch} has {tree[branch].typename} per event, expected a list")
        counts = ak.to_numpy(ak.num(array))
        offsets = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
        out[branch] = Jagged(offsets, np.asarray(ak.to_numpy(ak.flatten(array))))
    return out


def _array(tree: Any, branch: str, start: int, stop: int) -> Any:
    return tree[branch].array(entry_start=start, entry_stop=stop)


def check_counts(path: Path, start: int, family: dict[str, Jagged]) -> None:
    """All branches of a family have as many values as the first one, entry by entry."""
    names = list(family)
    for name in names[1:]:
        have, want = family[name].counts, family[names[0]].counts
        if (have != want).any():
            i = int(np.flatnonzero(have != want)[0])
            raise FormatError(f"{path}, entry {start + i}: {name} has {have[i]} values, but {names[0]} has {want[i]}")


def entry_edges(tree: Any, branches: Iterable[str], step_size: int | str) -> IntArray:
    """First entry of each block, and the end; `step_size` is a number of events, or a size such as "64 MB"."""
    total = int(tree.num_entries)
    step = step_size
    if isinstance(step, str):
        match = re.fullmatch(r"\s*([\d.]+)\s*([kMG])B\s*", step)
        if match is None:
            raise ValueError(f"step_size is {step!r}, expected a number of events or a size such as '64 MB'")
        room = float(match.group(1)) * {"k": 1e3, "M": 1e6, "G": 1e9}[match.group(2)]
        sizes = [getattr(tree[branch], "uncompressed_bytes", None) for branch in branches]  # fields of an RNTuple: none
        known = [int(size) for size in sizes if size is not None]
        per_event = sum(known) / max(total, 1) if len(known) == len(sizes) else TYPICAL_EVENT
        step = max(1, min(total, int(room / max(per_event, 1))))
    if step < 1:
        raise ValueError(f"step_size is {step_size}, expected at least one event")
    return np.append(np.arange(0, total, step), total).astype(np.int64)

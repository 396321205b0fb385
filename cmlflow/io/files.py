"""Shared by all file formats: the error of a bad file, and writing that leaves no partial files."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from inspect import signature
from json import JSONDecodeError
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from cmlflow.event import Event, IntArray
from cmlflow.event.arrays import whole
from cmlflow.io.writing import atomically

__all__ = [
    "FormatError",
    "PathLike",
    "atomically",
    "existing",
    "one_line",
    "opened",
    "paired",
    "stored_labels",
    "told",
]

T = TypeVar("T")

PathLike = str | os.PathLike[str]


class FormatError(ValueError):
    """A file that cannot be read in its format; the message names the file, the event and the field."""


def existing(path: PathLike) -> Path:
    """The path of an existing file.

    Raises
    ------
    FileNotFoundError
        There is nothing at `path`.
    FormatError
        `path` is a folder or an empty file.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file")
    if file.is_dir():
        raise FormatError(f"{file} is a folder, expected a file")
    if file.stat().st_size == 0:
        raise FormatError(f"{file} is empty (0 bytes)")
    return file


def one_line(err: BaseException) -> str:
    """The message of an error, on one line and not too long."""
    return " ".join(str(err).split())[:200]


def told(err: BaseException) -> str:
    """Kind of an error, and what it says, on one line."""
    return f"{type(err).__name__}: {one_line(err)}".removesuffix(": ")


def opened(path: PathLike, reader: Callable[..., T], **options: Any) -> T:
    """What a reader makes of a file; whatever libraries raise on damaged bytes is one `FormatError`.

    Raises
    ------
    FormatError
        Names the file.
    TypeError
        The reader takes no such option.
    """
    signature(reader).bind(path, **options)
    try:
        return reader(path, **options)
    except (JSONDecodeError, UnicodeDecodeError) as err:
        raise FormatError(f"{path}: a note beside the events is damaged: {told(err)}") from err
    except (OSError, ValueError, ImportError):
        raise
    except Exception as err:
        raise FormatError(f"{path} cannot be read, the file is damaged: {told(err)}") from err


def stored_labels(path: PathLike, entry: int, values: ArrayLike, n_hits: int) -> IntArray:
    """Cluster labels of one entry of a file, one for each hit, -1 or above.

    Raises
    ------
    FormatError
        Names the file, the entry, and the hit at fault.
    """
    try:
        labels = whole(values, "the cluster label", low=-1)
    except ValueError as err:
        raise FormatError(f"{path}, entry {entry}: {err}") from err
    if labels.shape != (n_hits,):
        raise FormatError(f"{path}, entry {entry}: there are {labels.size} cluster labels, but {n_hits} hits")
    return labels


def remove_stale_parts(target: PathLike) -> None:
    """Remove temporary files that runs which were killed have left beside a target of one's own."""
    path = Path(target)
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        part.unlink(missing_ok=True)


def paired(events: Iterable[Event], labels: Iterable[ArrayLike] | None) -> Iterator[tuple[int, Event, IntArray | None]]:
    """Number, event and cluster labels of each event in turn, checked, without keeping them.

    Raises
    ------
    TypeError
        Something else than an `Event` is found.
    ValueError
        There are more or fewer label arrays than events, or one does not fit its event.
    """
    if isinstance(events, Event):
        raise TypeError("one Event given where several are taken: pass [event]")
    rows = None if labels is None else iter(labels)
    end = object()
    count = 0
    for i, event in enumerate(events):
        if not isinstance(event, Event):
            raise TypeError(f"entry {i} of the events is {type(event).__name__}, not an Event")
        count = i + 1
        if rows is None:
            yield i, event, None
            continue
        row = next(rows, end)
        if row is end:
            raise ValueError(f"there are labels for {i} events, but more events")
        array = np.asarray(row)
        if array.shape != (event.n_hits,) or np.ma.is_masked(row) or (array.size and array.dtype.kind not in "iu"):
            raise ValueError(
                f"labels of event {i} have shape {array.shape} and type {array.dtype}, "
                f"expected ({event.n_hits},) integers, one for each hit"
            )
        array = whole(array, "the label", where=f"event {i}: ")
        if (array < -1).any():
            first = int(np.flatnonzero(array < -1)[0])
            raise ValueError(f"label of hit {first} of event {i} is {array[first]}, expected -1 (noise) or above")
        yield i, event, array
    if rows is not None and next(rows, end) is not end:
        raise ValueError(f"there are more label arrays than the {count} events")

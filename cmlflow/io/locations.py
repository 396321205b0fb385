"""Locations of files: one or several paths, patterns, and URLs of fsspec."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from glob import glob, has_magic
from pathlib import Path
from typing import Any, overload

import numpy as np

from cmlflow.event import Event, EventStore
from cmlflow.io.files import FormatError, PathLike, existing, one_line

Paths = PathLike | Iterable[PathLike]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|://)")


def located(paths: Paths) -> list[Path]:
    """The files that paths, patterns (``runs/*.parquet``, sorted by name) and URLs name, in their order.

    Parameters
    ----------
    paths : path-like, or iterable of path-like
        URLs of any protocol of fsspec; what they name is copied to a folder for temporary files, which is removed when
        the process ends.

    Raises
    ------
    FileNotFoundError
        No such file, or none that fits a pattern.
    FormatError
        A path is a folder or an empty file.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not given:
        raise FileNotFoundError("no files: the list of paths is empty")
    out: list[Path] = []
    for path in given:
        text = os.fspath(path)
        if _URL.match(text):
            out += _fetched(text)
        elif has_magic(text) and not Path(text).exists():
            found = sorted(glob(text, recursive=True))
            if not found:
                raise FileNotFoundError(f"{text}: no file fits this pattern")
            out += [existing(f) for f in found]
        else:
            out.append(existing(text))
    return out


def _fetched(url: str) -> list[Path]:
    import fsspec

    try:
        files, place = fsspec.core.url_to_fs(url)
        names = sorted(files.glob(place)) if has_magic(place) else [place]
        if not names or not files.exists(names[0]):
            raise FileNotFoundError(f"{url}: no such file")
        if "file" in (files.protocol if isinstance(files.protocol, (tuple, list)) else (files.protocol,)):
            return [existing(name) for name in names]
        out = []
        for name in names:
            folder = Path(tempfile.mkdtemp(dir=_downloads()))
            target = folder / Path(name).name
            files.get_file(name, str(target))
            out.append(existing(target))
        return out
    except FileNotFoundError:
        raise FileNotFoundError(f"{url}: no such file") from None
    except FormatError:
        raise
    except (ValueError, ImportError, OSError) as err:
        raise OSError(f"{url} cannot be fetched: {one_line(err)}") from err


@cache
def _downloads() -> str:
    folder, owner = tempfile.mkdtemp(prefix="cmlflow-"), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not in processes that were forked from it
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


class JoinedEvents(Sequence[Event]):
    """The events of several files, one after the other."""

    def __init__(self, parts: Sequence[Sequence[Event]]) -> None:
        self._parts = list(parts)
        self._edges = np.cumsum([0, *(len(part) for part in self._parts)])

    def __len__(self) -> int:
        return int(self._edges[-1])

    @overload
    def __getitem__(self, item: int) -> Event: ...
    @overload
    def __getitem__(self, item: slice) -> EventStore: ...

    def __getitem__(self, item: int | slice) -> Event | EventStore:
        if isinstance(item, slice):
            return EventStore(self)[item]
        if not -len(self) <= item < len(self):
            raise IndexError(f"event {item} asked for, but there are {len(self)}")
        place = item % len(self)
        part = int(np.searchsorted(self._edges, place, side="right")) - 1
        return self._parts[part][place - int(self._edges[part])]

    def __repr__(self) -> str:
        return f"<JoinedEvents: {len(self)} events in {len(self._parts)} files>"


def joined(paths: Paths, read: Callable[[Path], Any]) -> list[Any]:
    """Results of `read` for each of the files, in one list."""
    return [entry for file in located(paths) for entry in read(file)]

"""A sequence of events of a file that is read block by block, on access."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from cmlflow.event import Event, EventStore, IntArray
from cmlflow.io.files import FormatError, PathLike, existing, one_line, told


class BlockEvents(Sequence[Event], ABC):
    """Events of one file, read in blocks of consecutive events; the most recently used blocks are kept.

    Opening reads no event. Iterating streams: no more than `cache` blocks are held. Each `Event` owns its arrays, so
    that keeping one does not keep its block. The object can be pickled and survives a fork: the file is opened again
    where needed. Several threads may use it, of which one reads at a time.

    Parameters
    ----------
    path : path-like
    cache : int
        Number of blocks kept in memory.
    """

    def __init__(self, path: PathLike, cache: int) -> None:
        if cache < 1:
            raise ValueError(f"cache is {cache}, expected at least one block")
        self.path: Path = existing(path)
        self.cache = cache
        self._blocks: OrderedDict[int, Any] = OrderedDict()
        self._opened: tuple[int, Any] | None = None
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._edges: IntArray = np.zeros(1, np.int64)

    @abstractmethod
    def _open(self) -> Any:
        """The open file."""

    @abstractmethod
    def _load(self, block: int) -> Any:
        """The arrays of one block of events."""

    @abstractmethod
    def _event(self, arrays: Any, i: int, entry: int) -> Event:
        """Event number `i` of a block, `entry` of the file; a ValueError is prefixed with the file's name."""

    @property
    def _handle(self) -> Any:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), self._open())
        return self._opened[1]

    def _arrays(self, block: int) -> Any:
        if block in self._blocks:
            self._blocks.move_to_end(block)
        else:
            while len(self._blocks) >= self.cache:
                self._blocks.popitem(last=False)
            self._blocks[block] = self._load(block)
        return self._blocks[block]

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
            raise IndexError(f"event {item} asked for, but {self.path} has {len(self)}")
        if self._owner != os.getpid():  # a thread of the process this one was forked from may hold the lock
            self._lock, self._owner = threading.RLock(), os.getpid()
        with self._lock:
            return self._read_event(item % len(self))

    def _read_event(self, entry: int) -> Event:
        block = int(np.searchsorted(self._edges, entry, side="right")) - 1
        try:
            return self._event(self._arrays(block), entry - int(self._edges[block]), entry)
        except FormatError:
            raise
        except UnicodeDecodeError as err:
            raise FormatError(f"{self.path}, entry {entry}: a name is no UTF-8: {one_line(err)}") from err
        except ValueError as err:
            raise FormatError(f"{self.path}, entry {entry}: {err}") from err
        except (OSError, ImportError):
            raise
        except Exception as err:
            raise FormatError(f"{self.path}, entry {entry} cannot be read, the file is damaged: {told(err)}") from err

    def __iter__(self) -> Iterator[Event]:
        for entry in range(len(self)):
            yield self[entry]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "_blocks": OrderedDict(), "_lock": None, "_owner": -1}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} events in {self.path.name}>"

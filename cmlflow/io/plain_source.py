"""ROOT files read in place, not mapped into memory: a file that shrinks while it is open is an error, not a signal."""

from __future__ import annotations

import os
import queue
import weakref
from typing import Any

import numpy as np
from uproot.source.chunk import Chunk, Source
from uproot.source.futures import TrivialFuture


class PlainSource(Source):  # type: ignore[misc]
    """What uproot reads from: `os.pread` of one open file, which needs no threads and no lock."""

    def __init__(self, file_path: str, **options: Any) -> None:
        super().__init__()
        self._file_path = file_path
        self._number = os.open(file_path, os.O_RDONLY)
        self._close = weakref.finalize(self, os.close, self._number)
        self._num_bytes = os.fstat(self._number).st_size

    def chunk(self, start: int, stop: int) -> Any:
        """The bytes start..stop-1."""
        if self.closed:
            raise OSError(f"{self._file_path} is closed")
        data = os.pread(self._number, max(0, min(stop, self._num_bytes) - start), start)
        if len(data) < min(stop, self._num_bytes) - start:
            raise OSError(f"the file became shorter while it was read: no bytes at {start + len(data)}")
        self._num_requests += 1
        self._num_requested_chunks += 1
        self._num_requested_bytes += len(data)
        return Chunk(self, start, stop, TrivialFuture(np.frombuffer(data, Chunk._dtype)))

    def chunks(self, ranges: list[tuple[int, int]], notifications: queue.Queue[Any]) -> list[Any]:
        """Several of them; each is ready at once."""
        found = [self.chunk(start, stop) for start, stop in ranges]
        for chunk in found:
            notifications.put(chunk)
        return found

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return not self._close.alive

    def close(self) -> None:
        """Close the file."""
        self._close()

    def __enter__(self) -> PlainSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<PlainSource {self._file_path}>"

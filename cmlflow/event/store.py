"""Many events: `EventStore`, and what is accepted as a sequence of events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from cmlflow.event.event import Event
from cmlflow.event.records import IntArray


class EventStore(Sequence[Event]):
    """A sequence of events that may live on disk.

    Indexing with an integer gives an `Event`; with a slice, a boolean mask or an array of integers it gives an
    `EventStore` over the same events, nothing being read before it is asked for.

    Parameters
    ----------
    events : sequence of Event
        A list, or any lazy sequence such as those behind `cmlflow.read`.
    """

    def __init__(self, events: Sequence[Event] | Iterable[Event], index: IntArray | None = None):
        self._events = events if isinstance(events, Sequence) else list(events)
        self._index = index

    def __len__(self) -> int:
        return len(self._events) if self._index is None else len(self._index)

    @overload
    def __getitem__(self, item: int) -> Event: ...
    @overload
    def __getitem__(self, item: slice | ArrayLike) -> EventStore: ...

    def __getitem__(self, item: Any) -> Event | EventStore:
        if isinstance(item, (int, np.integer)):
            i = int(item)
            if not -len(self) <= i < len(self):
                raise IndexError(f"event {i} asked for, but there are {len(self)}")
            i %= len(self)
            return self._events[i if self._index is None else int(self._index[i])]
        index = np.arange(len(self)) if self._index is None else self._index
        return EventStore(self._events, np.asarray(index[item], np.int64))

    def __iter__(self) -> Iterator[Event]:
        if self._index is None:
            yield from self._events
        else:
            for i in self._index:
                yield self._events[int(i)]

    def to_awkward(self) -> Any:
        """All events as one awkward array: a record for each, with the columns of Parquet files (docs/file-format.md).

        ``awkward.to_parquet`` of it is a file that `cmlflow.read` takes.
        """
        from cmlflow.event.bridges import to_awkward

        return to_awkward(self)

    @classmethod
    def from_awkward(cls, array: Any) -> EventStore:
        """Events from such an array; each is made when it is asked for.

        Raises
        ------
        ValueError
            When an event is asked for: names a column that is missing or does not fit.
        """
        from cmlflow.event.bridges import AwkwardEvents

        return cls(AwkwardEvents(array))

    def to_pyg(self) -> list[Any]:
        """All events as data of torch-geometric, see `Event.to_pyg`; for its ``DataLoader``."""
        return [event.to_pyg() for event in self]

    @classmethod
    def from_pyg(cls, data: Iterable[Any]) -> EventStore:
        """Events from data of torch-geometric, see `Event.from_pyg`."""
        return cls([Event.from_pyg(one) for one in data])

    def __repr__(self) -> str:
        return f"<EventStore: {len(self)} events>"


def as_events(events: Event | Sequence[Event] | Iterable[Event]) -> Sequence[Event]:
    """Whatever a caller may pass as events, as a sequence; the one place that decides what is allowed.

    Raises
    ------
    TypeError
        Something else than an `Event` is found.
    """
    if isinstance(events, Event):
        raise TypeError("one Event given where several are taken: pass [event]")
    if isinstance(events, (str, bytes, PathLike)):
        raise TypeError(f"{events!r} given where events are taken: read the file with cmlflow.read")
    sequence: Sequence[Event] = events if isinstance(events, Sequence) else list(events)
    if isinstance(sequence, (list, tuple)):
        for i, e in enumerate(sequence):
            if not isinstance(e, Event):
                raise TypeError(f"entry {i} of the events is {type(e).__name__}, not an Event")
    return sequence

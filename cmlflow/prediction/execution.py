"""Running work over many events: serially or on an executor, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

LOOK_AHEAD = 16  # groups that wait on an executor at a time


def in_order(
    work: Callable[[Sequence[Item]], Sequence[Result]],
    batches: Iterable[Sequence[Item]],
    executor: Executor | None = None,
) -> Iterator[Result]:
    """Results of all items, in their order.

    Parameters
    ----------
    work : callable
        Takes a group of items and returns one result each. With an executor of processes it must be picklable.
    batches : iterable of sequence
    executor : concurrent.futures.Executor, optional
        Without one, everything runs here, one group after the other. With one, a bounded number of groups is submitted
        ahead of the results that are taken.
    """
    if executor is None:
        for batch in batches:
            yield from work(batch)
        return
    pending: deque[Future[Sequence[Result]]] = deque()
    try:
        for batch in batches:
            pending.append(executor.submit(work, batch))
            if len(pending) >= LOOK_AHEAD:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()

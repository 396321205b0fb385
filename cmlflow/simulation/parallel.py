"""Simulated events from several processes, the same ones in the same order."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor

from cmlflow.event import Event

EVENTS_PER_TASK = 20
AHEAD = 4  # tasks of each process that wait or are done ahead of the event that is taken


def simulated_by(events: Sequence[Event], workers: int) -> Iterator[Event]:
    """The events of a simulated sample, made in several processes.

    Parameters
    ----------
    events : sequence of Event
        For example `SimulatedEvents`, whose events depend on their number and the seed alone.
    workers : int
        Number of processes; 1 makes them here.

    Raises
    ------
    ValueError
        No process.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}, expected 1 or more")
    if workers == 1:
        yield from events
        return
    context = multiprocessing.get_context("spawn")
    parts = [range(a, min(a + EVENTS_PER_TASK, len(events))) for a in range(0, len(events), EVENTS_PER_TASK)]
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: deque[Future[list[Event]]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(_made, events, part))
                if len(waiting) >= AHEAD * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _made(events: Sequence[Event], numbers: range) -> list[Event]:
    return [events[i] for i in numbers]

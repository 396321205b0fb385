"""One event's points, tracks and truth (`Event`), and many of them (`EventStore`)."""

from cmlflow.event.event import INPUTS, Event
from cmlflow.event.records import UNKNOWN, Deposits, FloatArray, IntArray, Particles, Tracks
from cmlflow.event.store import EventStore, as_events

__all__ = [
    "INPUTS",
    "UNKNOWN",
    "Deposits",
    "Event",
    "EventStore",
    "FloatArray",
    "IntArray",
    "Particles",
    "Tracks",
    "as_events",
]

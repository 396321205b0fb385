"""One event's points, tracks and truth (`Event`), and many of them (`EventStore`)."""

from cmlflow.event.event import MOST_PARTICLES, Event
from cmlflow.event.records import UNKNOWN, Deposits, FloatArray, IntArray, Particles, Tracks
from cmlflow.event.store import EventStore, as_events

__all__ = [
    "MOST_PARTICLES",
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

"""One event's points, tracks and truth (`Event`), and many of them (`EventStore`)."""

from cmlflow.event.deposits import origins, particle_shares, tracked_particles
from cmlflow.event.event import INPUTS, Event
from cmlflow.event.records import UNKNOWN, Deposits, FloatArray, IntArray, Particles, Tracks
from cmlflow.event.store import EventStore, as_events
from cmlflow.event.vertex import vertex_of

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
    "origins",
    "particle_shares",
    "tracked_particles",
    "vertex_of",
]

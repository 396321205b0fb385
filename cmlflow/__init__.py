"""cmlflow: clustering of detector point clouds by metric learning."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cmlflow.clusterer import MetricClusterer
    from cmlflow.evaluation import evaluate
    from cmlflow.event import Deposits, Event, EventStore, Particles, Tracks
    from cmlflow.io import read, write
    from cmlflow.nets.network import build_network
    from cmlflow.particle_flow import ParticleFlow
    from cmlflow.simulation import simulate

_WHERE = {
    "Deposits": "cmlflow.event",
    "Event": "cmlflow.event",
    "EventStore": "cmlflow.event",
    "MetricClusterer": "cmlflow.clusterer",
    "ParticleFlow": "cmlflow.particle_flow",
    "Particles": "cmlflow.event",
    "Tracks": "cmlflow.event",
    "build_network": "cmlflow.nets.network",
    "evaluate": "cmlflow.evaluation",
    "read": "cmlflow.io",
    "simulate": "cmlflow.simulation",
    "write": "cmlflow.io",
}

__all__ = [
    "Deposits",
    "Event",
    "EventStore",
    "MetricClusterer",
    "ParticleFlow",
    "Particles",
    "Tracks",
    "__version__",
    "build_network",
    "evaluate",
    "read",
    "simulate",
    "write",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for: ``import cmlflow`` itself takes milliseconds."""
    if name not in _WHERE:
        raise AttributeError(f"module 'cmlflow' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

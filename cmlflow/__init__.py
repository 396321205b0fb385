"""cmlflow: clustering of detector point clouds by metric learning."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cmlflow.checks import check
    from cmlflow.clusterer import MetricClusterer
    from cmlflow.comparison import compare
    from cmlflow.evaluation import evaluate
    from cmlflow.event import Deposits, Event, EventStore, Particles, Tracks
    from cmlflow.event.overlay import overlay
    from cmlflow.export import export_onnx
    from cmlflow.io import Columns, read, write
    from cmlflow.loading import load, models
    from cmlflow.methods import build_network
    from cmlflow.nets.network import NetworkConfig
    from cmlflow.particle_flow import ParticleFlow
    from cmlflow.simulation import simulate
    from cmlflow.training import TrainingConfig

_WHERE = {
    "Columns": "cmlflow.io",
    "Deposits": "cmlflow.event",
    "Event": "cmlflow.event",
    "EventStore": "cmlflow.event",
    "MetricClusterer": "cmlflow.clusterer",
    "NetworkConfig": "cmlflow.nets.network",
    "ParticleFlow": "cmlflow.particle_flow",
    "Particles": "cmlflow.event",
    "Tracks": "cmlflow.event",
    "TrainingConfig": "cmlflow.training",
    "build_network": "cmlflow.methods",
    "check": "cmlflow.checks",
    "compare": "cmlflow.comparison",
    "evaluate": "cmlflow.evaluation",
    "export_onnx": "cmlflow.export",
    "load": "cmlflow.loading",
    "models": "cmlflow.loading",
    "overlay": "cmlflow.event.overlay",
    "read": "cmlflow.io",
    "simulate": "cmlflow.simulation",
    "write": "cmlflow.io",
}

__all__ = [
    "Columns",
    "Deposits",
    "Event",
    "EventStore",
    "MetricClusterer",
    "NetworkConfig",
    "ParticleFlow",
    "Particles",
    "Tracks",
    "TrainingConfig",
    "__version__",
    "build_network",
    "check",
    "compare",
    "evaluate",
    "export_onnx",
    "load",
    "models",
    "overlay",
    "read",
    "simulate",
    "write",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for: ``import cmlflow`` itself takes milliseconds."""
    if name in _WHERE:
        value = getattr(import_module(_WHERE[name]), name)
        globals()[name] = value
        return value
    try:  # a part, as in ``cmlflow.io``
        return import_module(f"cmlflow.{name}")
    except ModuleNotFoundError as err:
        if err.name != f"cmlflow.{name}":
            raise
        raise AttributeError(f"module 'cmlflow' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return __all__

"""Backbone and head together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from torch import Tensor, nn

from cmlflow.event import Event
from cmlflow.nets.backbones import EdgeConvBackbone
from cmlflow.nets.backbones.scaling import SCALINGS
from cmlflow.nets.heads.origin import OriginHead
from cmlflow.sampling import Inputs, collate

SAMPLE_FOR_SCALING = 200  # events from which the "standard" scaling is taken


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the DynamicEdgeConv network.

    Parameters
    ----------
    k : int, default=24
        Neighbours in the DynamicEdgeConv layers, the hit itself included.
    scaling : {"standard", "hgcal", "projective", "raw"}, default="standard"
        Scaling of the input features, see `InputScaling`. ``"standard"`` is fitted to the training sample; ``"raw"``
        is the paper's choice.
    dropout : float, optional
        By default that of the head: 0.01, and 0 for object condensation, see `cmlflow.methods.build_network`.

    Raises
    ------
    ValueError
        A value outside its range.
    """

    k: int = 24
    scaling: str = "standard"
    dropout: float | None = None

    def __post_init__(self) -> None:
        _check_size("k", self.k)
        if self.scaling not in SCALINGS:
            raise ValueError(f"scaling is {self.scaling!r}, expected one of {SCALINGS}")
        dropout: Any = self.dropout
        if dropout is not None and not (isinstance(dropout, (int, float)) and 0 <= dropout < 1):
            raise ValueError(f"dropout is {self.dropout!r}, expected 0 or more and below 1")


class Network(nn.Module):
    """A backbone followed by a head: ``network(x, ptr=None) -> dict of tensors``, one row per point.

    Parameters
    ----------
    backbone, head : torch modules
    origin : torch module, optional
        A second head, see `OriginHead`.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, origin: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.origin = origin

    def forward(self, x: Tensor, ptr: Tensor | None = None) -> dict[str, Tensor]:
        """Points of shape (N, F), events bounded by `ptr` of shape (B + 1,), to the outputs of the head."""
        h = self.backbone(x, ptr)
        out: dict[str, Tensor] = self.head(h, x) if getattr(self.head, "uses_points", False) else self.head(h)
        return out if self.origin is None else out | self.origin(h)


def edge_network(
    head: type[nn.Module],
    dim: int = 16,
    config: NetworkConfig | None = None,
    tracks: bool = False,
    default_dropout: float = 0.01,
    in_features: int | None = None,
    hidden: Sequence[int] = (),
) -> Network:
    """The DynamicEdgeConv network with a head of the given class; equal random states give equal backbones.

    Parameters
    ----------
    head : type
        ``head(in_features, dim)``, a torch module.
    dim : int, default=16
        Dimension of the embedding or of the clustering coordinates.
    config : NetworkConfig, optional
    tracks : bool, default=False
        Points are hits and tracks, with the 8 features of `cmlflow.sampling.event_points`. The network then has sums
        over the event (`EventSums`) and a second head (`OriginHead`).
    default_dropout : float, default=0.01
        Where the configuration names none.
    in_features : int, optional
        Columns of the points; 5 by default, 8 with tracks. Further ones are features of the events' own.
    hidden : sequence of int
        Columns that the network does not see.

    Raises
    ------
    ValueError
        A `dim` below 1.
    """
    _check_size("dim", dim)
    c = NetworkConfig() if config is None else config
    dropout = default_dropout if c.dropout is None else c.dropout
    if in_features is not None:
        _check_size("in_features", in_features)
    how: dict[str, Any] = {"tracks": tracks, "in_features": in_features, "hidden": hidden}
    backbone = EdgeConvBackbone(k=c.k, scaling=c.scaling, dropout=dropout, **how)
    origin = OriginHead(backbone.out_features) if tracks else None
    return Network(backbone, head(backbone.out_features, dim), origin)


def fit_scaling(network: Network, events: Sequence[Event], tracks: bool = False, inputs: Inputs | None = None) -> None:
    """Fit the input scaling of a network to a part of the training sample, see `InputScaling.fit`.

    Raises
    ------
    ValueError
        None of these events has a hit with a known particle, so there is nothing to train on.
    """
    chosen = np.unique(np.linspace(0, len(events) - 1, min(SAMPLE_FOR_SCALING, len(events))).astype(int))
    sample = [events[int(i)] for i in chosen]
    if not any((e.particle_id >= 0).any() for e in sample):
        raise ValueError("none of the training events has a hit with a known particle (particle_id >= 0)")
    network.backbone.scaling.fit(collate(sample, tracks, inputs).x)  # type: ignore[operator, union-attr]


def _check_size(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise ValueError(f"{name} is {value!r}, expected an integer of 1 or more")

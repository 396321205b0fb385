"""Backbone and head together."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cmlflow.event import Event
from cmlflow.nets.backbones import EdgeConvBackbone
from cmlflow.nets.backbones.scaling import slopes
from cmlflow.nets.heads import HEADS
from cmlflow.nets.heads.offset import SLOPE_UNIT
from cmlflow.nets.heads.origin import OriginHead
from cmlflow.sampling import collate

SAMPLE_FOR_SCALING = 200  # events from which the "standard" scaling is taken
DROPOUT = {"oc": 0.0}  # of heads that differ from 0.01


class Network(nn.Module):
    """A backbone followed by a head: ``network(x, ptr=None) -> dict of tensors``, one row per hit.

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
        """Points of shape (N, F), events limited by `ptr` of shape (B + 1,), to the outputs of the head."""
        h = self.backbone(x, ptr)
        out: dict[str, Tensor] = self.head(h, x) if getattr(self.head, "uses_points", False) else self.head(h)
        return out if self.origin is None else out | self.origin(h)


def build_network(
    head: str = "supcon",
    dim: int = 16,
    k: int = 24,
    scaling: str = "raw",
    dropout: float | None = None,
    tracks: bool = False,
) -> Network:
    """The paper's network: 48,560 parameters with the embedding head of 16 dimensions, 48,593 with the OC head.

    Parameters
    ----------
    head : {"supcon", "margin", "prototype", "oc"}
        What the network is to be trained with; decides the outputs, ``{"embedding"}`` or ``{"beta", "coordinates"}``.
    dim : int, default=16
        Dimension of the embedding or of the clustering coordinates.
    k : int, default=24
        Neighbours in the DynamicEdgeConv layers, the hit itself included.
    scaling : {"raw", "hgcal", "projective", "standard"}
        Name of the `InputScaling`; ``"standard"`` is fitted to the training sample.
    dropout : float, optional
        0.01 by default, and 0 for ``"oc"``: see the notes.
    tracks : bool, default=False
        Whether the points are hits and tracks, with the 8 features of `cmlflow.sampling.event_points`. The network
        then has sums over the event (`EventSums`) and a second head (`OriginHead`).

    Returns
    -------
    Network
        ``net(x, ptr=None)`` with x of shape (N, 5), x, y, z [cm], energy, layer, or (N, 8).

    Raises
    ------
    ValueError
        For a head or scaling that there is not, a `dim` or `k` below 1.

    Notes
    -----
    Object condensation asks each particle for one hit with beta = 1 among hundreds that are much alike. With dropout
    in training, its noise singles one out, a different one every time; at inference nothing does, and no beta is large.
    On showers of hundreds of hits this ruins the network for inference within a few epochs, at a dropout of 0.01.

    References
    ----------
    arXiv:2603.23356, section II.1.
    """
    if head not in HEADS:
        raise ValueError(f"head is {head!r}, expected one of {sorted(HEADS)}")
    sizes: dict[str, Any] = {"dim": dim, "k": k}
    for name, value in sizes.items():
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} is {value!r}, expected an integer of 1 or more")
    dropout = DROPOUT.get(head, 0.01) if dropout is None else dropout
    backbone = EdgeConvBackbone(k=k, scaling=scaling, dropout=dropout, tracks=tracks)
    origin = OriginHead(backbone.out_features) if tracks else None
    return Network(backbone, HEADS[head](backbone.out_features, dim), origin)


def usable_device(name: str | torch.device) -> torch.device:
    """The torch device of a name.

    Raises
    ------
    ValueError
        Where there is no such device, or this torch is built without it.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as err:  # torch reports a build without CUDA as AssertionError
        raise ValueError(f"device is {str(name)!r}, which this torch cannot use: {str(err).splitlines()[0]}") from err
    return device


class Slopes(nn.Module):
    """No network: x/z and y/z of every hit in the unit of `OffsetHead`. What a learned embedding has to beat."""

    def forward(self, x: Tensor, ptr: Tensor | None = None) -> dict[str, Tensor]:
        """Points of shape (N, F) to ``{"embedding": (N, 2)}``."""
        return {"embedding": slopes(x) / SLOPE_UNIT}


def fit_scaling(network: Network, events: Sequence[Event], tracks: bool = False) -> None:
    """Give the scaling of a network some events of the training sample, see `InputScaling.fit`.

    Raises
    ------
    ValueError
        None of them has a hit with a known particle, so that there is nothing to train on.
    """
    chosen = np.unique(np.linspace(0, len(events) - 1, min(SAMPLE_FOR_SCALING, len(events))).astype(int))
    sample = [events[int(i)] for i in chosen]
    if not any((e.particle_id >= 0).any() for e in sample):
        raise ValueError("none of the training events has a hit with a known particle (particle_id >= 0)")
    network.backbone.scaling.fit(collate(sample, tracks).x)  # type: ignore[operator, union-attr]

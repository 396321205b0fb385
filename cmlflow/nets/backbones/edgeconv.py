"""The DynamicEdgeConv backbone of the paper, written so that no edge tensor outlives its tile.

Three exact identities make it cheap: the first linear layer of the edge function splits into two per-hit layers,
``W [x_i, x_j - x_i] = (W_a - W_b) x_i + W_b x_j``; every hit has the same number of neighbours, so aggregation is a
dense gather and a maximum; and only the winning edges carry gradient, so the backward pass needs which edge won,
not the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cmlflow.graphs.neighbours import bounds_of_batch, event_bounds, lexicographic_order, sorted_knn
from cmlflow.nets.backbones import operators
from cmlflow.nets.backbones.max_edge import MaxEdge
from cmlflow.nets.backbones.scaling import InputScaling
from cmlflow.nets.backbones.sums import EventSums
from cmlflow.nets.dropout import EventDropout
from cmlflow.sampling.inputs import FEATURES, TRACK_FEATURES
from cmlflow.sampling.points import TRACK

is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
ENERGY, KIND = (TRACK_FEATURES.index(name) for name in ("energy", "kind"))


class EdgeConvBackbone(nn.Module):
    """Encoder, three DynamicEdgeConv layers and trunk of arXiv:2603.23356, section II.1.

    Parameters
    ----------
    k : int, default=24
        Neighbours of each hit, the hit itself included.
    width : int, default=64
        Features per hit in encoder and edge layers.
    n_layers : int, default=3
        Number of DynamicEdgeConv layers.
    dropout : float, default=0.01
    scaling : str, default="raw"
        Name of the `InputScaling`.
    tracks : bool, default=False
        Whether points are hits and tracks, with the 8 features of `cmlflow.sampling.event_points` in place of x, y, z
        [cm], energy and layer. Then the trunk is given sums over the event as well, see `EventSums`.
    in_features : int, optional
        Columns of the points, where there are features beyond those 5 or 8.
    hidden : sequence of int
        Columns that the encoder does not see, see `InputScaling`.

    Attributes
    ----------
    out_features : int
        Features per hit that the heads receive: width / 2.
    """

    def __init__(
        self,
        k: int = 24,
        width: int = 64,
        n_layers: int = 3,
        dropout: float = 0.01,
        scaling: str = "raw",
        tracks: bool = False,
        in_features: int | None = None,
        hidden: Sequence[int] = (),
    ) -> None:
        super().__init__()
        in_features = len(TRACK_FEATURES if tracks else FEATURES) if in_features is None else in_features
        self.scaling = InputScaling(scaling, in_features, tracks, hidden)
        self.encoder = nn.Sequential(nn.Linear(in_features, width), nn.ELU(), nn.Linear(width, width), nn.ELU())
        self.layers = nn.ModuleList(DynamicEdgeConv(width, width, k) for _ in range(n_layers))
        self.dropout = EventDropout(dropout)
        self.out_features = width // 2
        self.sums = EventSums(width) if tracks else None
        self.trunk = nn.Sequential(
            nn.Linear(width + (self.sums.out_features if self.sums else 0), width),
            nn.ELU(),
            EventDropout(dropout),
            nn.Linear(width, self.out_features),
            nn.ELU(),
            EventDropout(dropout),
        )

    def forward(self, x: Tensor, ptr: Tensor | None = None) -> Tensor:
        """Features of every hit.

        Parameters
        ----------
        x : Tensor of shape (N, in_features)
            Of the points of one or several events.
        ptr : Tensor of shape (B + 1,), int64, optional
            Where each event starts and the last one ends.

        Returns
        -------
        Tensor of shape (N, out_features)
            In the order of `x`. Inside, hits are put in an order of their own, so the result is the same to the last
            bit in whatever order they come.
        """
        bounds: list[int] | Tensor
        if is_exporting():
            bounds = operators.whole(x) if ptr is None else ptr
            order = operators.event_order(x, bounds)
        else:
            bounds = event_bounds(ptr, len(x))
            order = lexicographic_order(x, bounds)
        h = self.encoder(self.scaling(x[order]))
        for layer in self.layers:
            h = self.dropout(functional.elu(layer(h, bounds)))
        if self.sums is not None:
            points = x[order]
            h = torch.cat([h, self.sums(h, points[:, ENERGY], points[:, KIND] == TRACK, bounds)], 1)
        h = self.trunk(h)
        return torch.empty_like(h).index_copy(0, order, h)


class DynamicEdgeConv(nn.Module):
    """max over the k nearest neighbours j of MLP([x_i, x_j - x_i]), neighbours taken in the current features.

    Parameters
    ----------
    in_features, out_features : int
    k : int, default=24
        Neighbours, the point itself included.

    References
    ----------
    Wang et al., Dynamic Graph CNN for Learning on Point Clouds, ACM TOG 38 (2019), arXiv:1801.07829.
    """

    def __init__(self, in_features: int, out_features: int, k: int = 24) -> None:
        super().__init__()
        self.k = k
        self.first = nn.Linear(2 * in_features, out_features)
        self.second = nn.Linear(out_features, out_features)

    def forward(self, x: Tensor, ptr: Tensor | Sequence[int] | None = None, *, batch: Tensor | None = None) -> Tensor:
        """Shape (N, in_features) to (N, out_features).

        Parameters
        ----------
        x : Tensor of shape (N, in_features)
        ptr : Tensor or sequence of int, of shape (B + 1,), optional
            Where each event starts and the last one ends. One event by default.
        batch : Tensor of shape (N,), int64, optional
            In place of `ptr`, as torch-geometric has it: the event of each point, never falling.

        Raises
        ------
        ValueError
            Both are given, `ptr` does not rise from 0 to N, or `batch` has another length or falls.
        """
        bounds: Any
        if is_exporting():
            bounds = ptr
        else:
            bounds = event_bounds(ptr if batch is None else bounds_of_batch(batch, ptr, len(x)), len(x))
        centre, difference = self.first.weight.chunk(2, 1)
        u = functional.linear(x, centre - difference, self.first.bias)
        v = functional.linear(x, difference)
        weight = self.second.weight.to(u.dtype)
        if isinstance(bounds, Tensor):
            best: Tensor = operators.max_edges(u, v, operators.neighbours(x, bounds, self.k), weight)
            return best + self.second.bias
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            neighbours = sorted_knn(x.detach().float(), self.k, bounds, refine=False)
        best = MaxEdge.apply(u, v, neighbours, weight)  # type: ignore[no-untyped-call]
        return best + self.second.bias

    def extra_repr(self) -> str:
        return f"k={self.k}"

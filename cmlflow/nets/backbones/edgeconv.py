"""The DynamicEdgeConv backbone of the paper, written so that no edge tensor outlives its tile.

Three exact identities make it cheap: the first linear layer of the edge function splits into two per-hit layers,
``W [x_i, x_j - x_i] = (W_a - W_b) x_i + W_b x_j``; every hit has the same number of neighbours, so aggregation is a
dense gather and a maximum; and only the winning edges carry gradient, so the backward pass needs which edge won,
not the edges.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from cmlflow.graphs.neighbours import event_bounds, lexicographic_order, sorted_knn
from cmlflow.nets.backbones.scaling import InputScaling
from cmlflow.nets.backbones.sums import EventSums
from cmlflow.sampling.points import FEATURES, TRACK, TRACK_FEATURES

ENERGY, KIND = (TRACK_FEATURES.index(name) for name in ("energy", "kind"))
TILE_ROWS = 96  # hits whose edges are held at a time: 96 x 24 x 64 floats are 0.6 MB


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
    ) -> None:
        super().__init__()
        in_features = len(TRACK_FEATURES if tracks else FEATURES)
        self.scaling = InputScaling(scaling, in_features)
        self.encoder = nn.Sequential(nn.Linear(in_features, width), nn.ELU(), nn.Linear(width, width), nn.ELU())
        self.layers = nn.ModuleList(DynamicEdgeConv(width, width, k) for _ in range(n_layers))
        self.dropout = nn.Dropout(dropout)
        self.out_features = width // 2
        self.sums = EventSums(width) if tracks else None
        self.trunk = nn.Sequential(
            nn.Linear(width + (self.sums.out_features if self.sums else 0), width),
            nn.ELU(),
            nn.Dropout(dropout),
            nn.Linear(width, self.out_features),
            nn.ELU(),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, ptr: Tensor | None = None) -> Tensor:
        """Features of every hit.

        Parameters
        ----------
        x : Tensor of shape (N, 5) or (N, 8)
            Of the points of one or several events.
        ptr : Tensor of shape (B + 1,), int64, optional
            Where each event starts and the last one ends.

        Returns
        -------
        Tensor of shape (N, out_features)
            In the order of `x`. Inside, hits are put in an order of their own, so the result is the same to the last
            bit in whatever order they come.
        """
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

    def forward(self, x: Tensor, bounds: list[int]) -> Tensor:
        """Shape (N, in_features) to (N, out_features); `bounds` are the limits of the events."""
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            neighbours = sorted_knn(x.detach().float(), self.k, bounds, refine=False)
        centre, difference = self.first.weight.chunk(2, 1)
        u = functional.linear(x, centre - difference, self.first.bias)
        v = functional.linear(x, difference)
        best: Tensor = _MaxEdge.apply(u, v, neighbours, self.second.weight.to(u.dtype))  # type: ignore[no-untyped-call]
        return best + self.second.bias

    def extra_repr(self) -> str:
        return f"k={self.k}"


class _MaxEdge(torch.autograd.Function):
    """out[i] = max_j W elu(u_i + v_j) over the neighbours j of i; edges live one tile at a time.

    All arguments have one dtype; gradients that many edges add up to are summed in float32 or better. On a CPU in
    float32 everything but the matrix product runs in the compiled `edge_kernels`; elsewhere in torch.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, neighbours: Tensor, weight: Tensor) -> Tensor:
        u, v, weight = u.contiguous(), v.contiguous(), weight.contiguous()
        n, k = neighbours.shape
        out = u.new_empty(n, weight.shape[0])
        winner = torch.empty((n, weight.shape[0]), dtype=torch.uint8 if k < 256 else torch.int64, device=u.device)
        forward = _forward_kernel if _has_kernels(u, k) else _forward_torch
        for a in range(0, n, TILE_ROWS):
            rows = slice(a, min(a + TILE_ROWS, n))
            forward(u[rows], v, neighbours[rows], weight, out[rows], winner[rows])
        ctx.save_for_backward(u, v, neighbours, weight, winner)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, v, neighbours, weight, winner = ctx.saved_tensors
        n, k = neighbours.shape
        kind = torch.promote_types(u.dtype, torch.float32)
        sums = tuple(torch.zeros_like(t, dtype=kind) for t in (u, v, weight))
        if _has_kernels(u, k):
            from cmlflow.nets.backbones.edge_kernels import backward_edges

            arrays = (u, v, neighbours, weight, winner, grad.contiguous(), *sums)
            backward_edges(*(t.numpy() for t in arrays))
        else:
            for a in range(0, n, TILE_ROWS):
                rows = slice(a, min(a + TILE_ROWS, n))
                _backward_torch(u, v, neighbours, weight, winner, grad, sums, rows)
        grad_u, grad_v, grad_w = (s.to(u.dtype) for s in sums)
        return grad_u, grad_v, None, grad_w


def _has_kernels(u: Tensor, k: int) -> bool:
    return u.device.type == "cpu" and u.dtype == torch.float32 and k < 256


def _forward_kernel(u: Tensor, v: Tensor, neighbours: Tensor, weight: Tensor, out: Tensor, winner: Tensor) -> None:
    from cmlflow.nets.backbones.edge_kernels import fill_edges, max_edges

    k = neighbours.shape[1]
    edge = u.new_empty(len(u) * k, u.shape[1])
    fill_edges(u.detach().numpy(), v.detach().numpy(), neighbours.numpy(), edge.numpy())
    max_edges((edge @ weight.detach().T).numpy(), k, out.numpy(), winner.numpy())


def _forward_torch(u: Tensor, v: Tensor, neighbours: Tensor, weight: Tensor, out: Tensor, winner: Tensor) -> None:
    edge = functional.elu_(v[neighbours].add_(u[:, None]))
    value, position = (edge.view(-1, edge.shape[2]) @ weight.T).view(*edge.shape[:2], -1).max(1)
    out.copy_(value)
    winner.copy_(position)


def _backward_torch(
    u: Tensor,
    v: Tensor,
    neighbours: Tensor,
    weight: Tensor,
    winner: Tensor,
    grad: Tensor,
    sums: tuple[Tensor, ...],
    rows: slice,
) -> None:
    """Add the gradients of some rows to those of u, v and weight."""
    grad_u, grad_v, grad_w = sums
    m, k = neighbours[rows].shape
    edge = functional.elu_(v[neighbours[rows]].add_(u[rows, None])).view(m * k, -1)
    scattered = grad.new_zeros(m, k, weight.shape[0])
    scattered.scatter_(1, winner[rows, None].long(), grad[rows, None])
    flat = scattered.view(m * k, -1)
    grad_w.addmm_(flat.T.to(grad_w.dtype), edge.to(grad_w.dtype))
    slope = edge.clamp_(max=0).add_(1)  # elu' = 1 above zero, elu + 1 below
    grad_edge = (flat @ weight).mul_(slope).to(grad_u.dtype)
    grad_u[rows] = grad_edge.view(m, k, -1).sum(1)
    grad_v.index_add_(0, neighbours[rows].reshape(-1), grad_edge)

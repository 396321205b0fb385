"""The largest edge of every point: exact, with one tile of edges in memory at a time, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

TILE_ROWS = 96  # hits whose edges are held at a time: 96 x 24 x 64 floats are 0.6 MB


class MaxEdge(torch.autograd.Function):
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

"""CPU kernels of the EdgeConv layer, compiled on first use: the passes over edges that are not a matrix product.

They do in one pass over a tile what takes torch several: gather, add and ELU; maximum with its position; and the whole
backward pass, which visits the winning edges alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from cmlflow.graphs.compiling import compiled

F4 = np.float32
FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}  # all liberties but those with nan and inf: they must show
Float = np.ndarray[Any, np.dtype[np.float32]]
Int = np.ndarray[Any, np.dtype[np.int64]]
Byte = np.ndarray[Any, np.dtype[np.uint8]]


@njit(inline="always", fastmath=FAST)  # type: ignore[untyped-decorator]
def _expm1_negative(x: F4) -> F4:
    """exp(x) - 1 for x <= 0, to float32 rounding; written so that the compiler makes vector instructions of it.

    Range reduction and polynomial of Cephes expf (S. L. Moshier, 1989).
    """
    x = F4(-87.0) if x < F4(-87.0) else x
    n = np.floor(x * F4(1.4426950408889634) + F4(0.5))
    r = x - n * F4(0.693359375) + n * F4(2.12194440e-4)
    p = F4(1.9875691500e-4)
    p = p * r + F4(1.3981999507e-3)
    p = p * r + F4(8.3334519073e-3)
    p = p * r + F4(4.1665795894e-2)
    p = p * r + F4(1.6666665459e-1)
    p = p * r + F4(5.0000001201e-1)
    p = p * r * r + r + F4(1)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(F4)
    out: F4 = p * power - F4(1)
    return out


@compiled(fastmath=FAST)
def fill_edges(u: Float, v: Float, neighbours: Int, edge: Float) -> None:
    """edge[i * k + j] = elu(u[i] + v[neighbours[i, j]]) for u of shape (m, F), neighbours (m, k), edge (m * k, F)."""
    m, k = neighbours.shape
    for i in range(m):
        for j in range(k):
            b = neighbours[i, j]
            row = i * k + j
            for f in range(u.shape[1]):
                a = u[i, f] + v[b, f]
                edge[row, f] = a if a > 0 else _expm1_negative(a)


@compiled(fastmath=FAST)
def max_edges(value: Float, k: int, out: Float, winner: Byte) -> None:
    """Maximum over each k rows of `value` (m * k, C) into `out` (m, C), its first position into `winner` (m, C)."""
    best_j = np.empty(
        out.shape[1], np.int32
    )  # as wide as the values: bytes would keep the loop from vector instructions
    for i in range(out.shape[0]):
        best = out[i]
        for c in range(len(best)):
            best[c] = value[i * k, c]
            best_j[c] = 0
        for j in range(1, k):
            for c in range(len(best)):
                x = value[i * k + j, c]
                larger = x > best[c]
                best[c] = x if larger else best[c]
                best_j[c] = np.int32(j) if larger else best_j[c]
        for c in range(len(best)):
            winner[i, c] = best_j[c]


@compiled(fastmath=FAST)
def backward_edges(
    u: Float, v: Float, neighbours: Int, weight: Float, winner: Byte, grad: Float,
    grad_u: Float, grad_v: Float, grad_weight: Float,
) -> None:  # fmt: skip
    """Add the gradients of ``out[i, c] = max_j weight[c] . elu(u[i] + v[j])`` to grad_u, grad_v and grad_weight.

    Shapes: u, v, grad_u, grad_v (N, F); neighbours (N, k); weight, grad_weight (C, F); winner, grad (N, C).
    """
    n, k = neighbours.shape
    width = u.shape[1]
    edge = np.empty((k, width), np.float32)
    grad_edge = np.empty((k, width), np.float32)
    wins = np.empty(k, np.bool_)
    for i in range(n):
        wins[:] = False
        for c in range(weight.shape[0]):
            wins[winner[i, c]] = True
        for j in range(k):
            if wins[j]:
                b = neighbours[i, j]
                for f in range(width):
                    a = u[i, f] + v[b, f]
                    edge[j, f] = a if a > 0 else _expm1_negative(a)
                    grad_edge[j, f] = 0
        for c in range(weight.shape[0]):
            j = winner[i, c]
            g = grad[i, c]
            for f in range(width):
                grad_edge[j, f] += g * weight[c, f]
                grad_weight[c, f] += g * edge[j, f]
        for j in range(k):
            if wins[j]:
                b = neighbours[i, j]
                for f in range(width):
                    e = edge[j, f]
                    g = grad_edge[j, f] * (F4(1) if e > 0 else e + F4(1))  # elu' = elu + 1 below zero
                    grad_u[i, f] += g
                    grad_v[b, f] += g

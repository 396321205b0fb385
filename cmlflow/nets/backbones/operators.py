"""Parts of the network that torch cannot trace, as operators: a network exported by `torch.export` calls them.

They compute what the network computes outside of exports. For inference alone: they have no gradient. A program that
runs an exported network must have imported cmlflow.
"""

import torch
from torch import Tensor

from cmlflow.graphs.neighbours import event_bounds, lexicographic_order, sorted_knn
from cmlflow.nets.backbones.max_edge import MaxEdge


def whole(x: Tensor) -> Tensor:
    """The limits of one event that holds all points."""
    return torch.cat([x.new_zeros(1, dtype=torch.int64), x.new_full((1,), x.shape[0], dtype=torch.int64)])


@torch.library.custom_op("cmlflow::event_order", mutates_args=())
def event_order(x: Tensor, ptr: Tensor) -> Tensor:
    """`lexicographic_order` of points of shape (N, F), events limited by `ptr`."""
    return lexicographic_order(x, event_bounds(ptr, len(x)))


@event_order.register_fake
def _(x: Tensor, ptr: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], dtype=torch.int64)


@torch.library.custom_op("cmlflow::neighbours", mutates_args=())
def neighbours(x: Tensor, ptr: Tensor, k: int) -> Tensor:
    """`sorted_knn` of points of shape (N, F) in their order, shape (N, k)."""
    return sorted_knn(x.float(), k, event_bounds(ptr, len(x)), refine=False)


@neighbours.register_fake
def _(x: Tensor, ptr: Tensor, k: int) -> Tensor:
    return x.new_empty(x.shape[0], k, dtype=torch.int64)


@torch.library.custom_op("cmlflow::max_edges", mutates_args=())
def max_edges(u: Tensor, v: Tensor, neighbours: Tensor, weight: Tensor) -> Tensor:
    """`MaxEdge` of hits of shape (N, F), neighbours (N, k) and a weight (G, F): shape (N, G)."""
    out: Tensor = MaxEdge.apply(u, v, neighbours, weight)  # type: ignore[no-untyped-call]
    return out


@max_edges.register_fake
def _(u: Tensor, v: Tensor, neighbours: Tensor, weight: Tensor) -> Tensor:
    return u.new_empty(u.shape[0], weight.shape[0])


def event_sums_of(x: Tensor, bounds: list[int]) -> Tensor:
    """Sums of columns over the events, at every point: shape (N, F) to (N, F)."""
    sizes = torch.tensor(bounds, device=x.device).diff()
    event = torch.repeat_interleave(torch.arange(len(sizes), device=x.device), sizes)
    return x.new_zeros(len(sizes), x.shape[1]).index_add(0, event, x)[event]


@torch.library.custom_op("cmlflow::event_sums", mutates_args=())
def event_sums(x: Tensor, ptr: Tensor) -> Tensor:
    """`event_sums_of`, events limited by `ptr`."""
    return event_sums_of(x, event_bounds(ptr, len(x)))


@event_sums.register_fake
def _(x: Tensor, ptr: Tensor) -> Tensor:
    return torch.empty_like(x)

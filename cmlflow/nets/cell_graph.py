"""Dynamic graph networks of cells and tracks, as in arXiv:2003.08863, and with energies among the coordinates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cmlflow.graphs import knn
from cmlflow.nets.cells import LEAST_ENERGY, SLOPE, Scaling, mlp, sample_of
from cmlflow.nets.pointnet import Norm

NEIGHBOURS = 10
SIZES = ((3, 32), (32, 64), (64, 128), (128, 64), (64, 3))
JOINT = (32, 64, 64)


def neighbours(x: Tensor, ptr: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest other points of every point in its sample, shape (N, k), and which of them there are.

    A point alone in its sample is its own neighbour.
    """
    found = knn(x, k + 1, ptr)
    place = torch.arange(len(x), device=x.device)[:, None]
    there = found[:, 1:] != place
    there[:, 0] |= ~there.any(1)
    return found[:, 1:], there


class MaxEdges(nn.Module):
    """x' = max over neighbours of leaky ReLU(norm(Θ(x_j − x_i) + Φ(x_i)))."""

    def __init__(self, size: int, out: int) -> None:
        super().__init__()
        self.theta, self.phi, self.norm = nn.Linear(size, out), nn.Linear(size, out), Norm(out)

    def forward(self, x: Tensor, near: Tensor, there: Tensor) -> Tensor:
        """Features (N, size) and neighbours (N, k) to features (N, out)."""
        moved = functional.linear(x, self.theta.weight)
        edges = moved[near] + (self.phi(x) + self.theta.bias - moved)[:, None]
        if bool(there.all()):
            flat: Tensor = self.norm(edges.flatten(0, 1))
            edges = functional.leaky_relu(flat, SLOPE).view_as(edges)
        else:
            values = functional.leaky_relu(self.norm(edges[there]), SLOPE)
            edges = torch.full_like(edges, -torch.inf).index_put((there,), values)
        return edges.amax(1)


class MeanEdges(nn.Module):
    """e' = mean over neighbours of Θ(e_j − e_i), plus Φ(e_i); both small networks of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.theta, self.phi = mlp(1, 64, 128, 32, 1), mlp(1, 64, 128, 32, 1)

    def forward(self, e: Tensor, near: Tensor, there: Tensor) -> Tensor:
        """Energies (N, 1) and neighbours (N, k) to energies (N, 1)."""
        each = self.theta((e[near] - e[:, None]).flatten(0, 1)).view(*near.shape, 1) * there[..., None]
        mean: Tensor = each.sum(1) / there.sum(1, keepdim=True)
        out: Tensor = mean + self.phi(e)
        return out


class PaperGraph(nn.Module):
    """Coordinates and energies apart, five layers each; a head on the five energies: 167,255 parameters.

    The momentum of a track is the energy of its node.

    References
    ----------
    F. A. Di Bello et al., arXiv:2003.08863, equation 1.
    """

    def __init__(self, outputs: int = 1, k: int = NEIGHBOURS) -> None:
        super().__init__()
        self.k = k
        self.scaling = Scaling()
        self.edges = nn.ModuleList(MaxEdges(a, b) for a, b in SIZES)
        self.energies = nn.ModuleList(MeanEdges() for _ in SIZES)
        self.head = mlp(5, 20, 40, 30, 10, 5, outputs)

    def forward(self, x: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        """Raw columns (N, 7) of samples bounded by `ptr` to scores (N, outputs)."""
        scaled = self.scaling(x, sample_of(ptr), len(ptr) - 1)
        h, e = scaled[:, :3], 0.5 * (x[:, 3] + x[:, 6]).clamp(min=LEAST_ENERGY).log()[:, None]
        kept = []
        for edges, energies in zip(self.edges, self.energies, strict=True):
            near, there = neighbours(h, ptr, self.k)
            e = energies(e, near, there)
            h = edges(h, near, there)
            kept.append(e)
        return {"scores": self.head(torch.cat(kept, 1))}


class JointGraph(nn.Module):
    """Coordinates, energies and momenta together in three layers; the head also sees their means over the event.

    Parameters
    ----------
    outputs : int
    k : int, default=10
        Neighbours, the point itself not counted.
    """

    def __init__(self, outputs: int = 1, k: int = NEIGHBOURS) -> None:
        super().__init__()
        self.k = k
        self.scaling = Scaling()
        self.edges = nn.ModuleList(MaxEdges(a, b) for a, b in zip((6, *JOINT[:-1]), JOINT, strict=True))
        self.head = mlp(2 * sum(JOINT) + 6, 128, 64, outputs)

    def forward(self, x: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        """Raw columns (N, 7) of samples bounded by `ptr` to scores (N, outputs)."""
        sample, n = sample_of(ptr), len(ptr) - 1
        inputs = h = self.scaling(x, sample, n)
        kept = []
        for edges in self.edges:
            h = edges(h, *neighbours(h, ptr, self.k))
            kept.append(h)
        layers = torch.cat(kept, 1)
        return {"scores": self.head(torch.cat([layers, event_mean(layers, x[:, 3], sample, n)[sample], inputs], 1))}


def event_mean(h: Tensor, energy: Tensor, sample: Tensor, n: int) -> Tensor:
    """Energy-weighted mean of features over the cells of each sample, shape (n, C)."""
    total = h.new_zeros(n).index_add(0, sample, energy)
    mean: Tensor = h.new_zeros(n, h.shape[1]).index_add(0, sample, energy[:, None] * h)
    return mean / total.clamp(min=1e-6)[:, None]

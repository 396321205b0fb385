"""From coarse cells to the neutral energy in the fine cells within them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cmlflow.nets.cell_graph import NEIGHBOURS, JointGraph, MaxEdges, event_mean, neighbours
from cmlflow.nets.cells import Scaling, mlp, sample_of
from cmlflow.nets.images import BASE, CHANNELS, UNetBlock, UpConv, layer_image, window_corners

WIDTH = 64


def sibling_fractions(score: Tensor, rest: Tensor, parent: Tensor) -> Tensor:
    """Softmax over the children of each parent and its rest: fractions (M,) that sum to less than 1.

    Parameters
    ----------
    score : Tensor of shape (M,)
        Of the children.
    rest : Tensor of shape (N,)
        Of what is left of each parent.
    parent : Tensor of shape (M,), int64
    """
    top = rest.detach().scatter_reduce(0, parent, score.detach(), "amax")
    e = (score - top[parent]).exp()
    whole = (rest - top).exp().index_add(0, parent, e)
    return e / whole[parent]


class BroadcastGraph(nn.Module):
    """A graph network on coarse cells; every node once for each of its fine cells; another one on those.

    Parameters
    ----------
    k : int, default=10
        Neighbours.
    """

    def __init__(self, k: int = NEIGHBOURS) -> None:
        super().__init__()
        self.k = k
        self.scaling = Scaling()
        self.coarse = nn.ModuleList([MaxEdges(6, WIDTH), MaxEdges(WIDTH, WIDTH)])
        self.fine = nn.ModuleList([MaxEdges(WIDTH + 2, WIDTH), MaxEdges(WIDTH, WIDTH)])
        self.head = mlp(6 * WIDTH + 8, 128, 64, 1)
        self.rest = mlp(4 * WIDTH + 6, 64, 1)

    def forward(self, x: Tensor, ptr: Tensor, parent: Tensor, offset: Tensor) -> Tensor:
        """Fractions of the children, shape (M,).

        Parameters
        ----------
        x : Tensor of shape (N, 7)
            Raw columns of `cmlflow.nets.cells`.
        ptr : Tensor of shape (B + 1,)
        parent : Tensor of shape (M,), int64
            Point of each child, not falling.
        offset : Tensor of shape (M, 2)
            Of a child from the centre of its parent, in sides of the parent.
        """
        sample, n = sample_of(ptr), len(ptr) - 1
        inputs = h = self.scaling(x, sample, n)
        kept = []
        for edges in self.coarse:
            h = edges(h, *neighbours(h, ptr, self.k))
            kept.append(h)
        layers = torch.cat(kept, 1)
        coarse = torch.cat([layers, event_mean(layers, x[:, 3], sample, n)[sample], inputs], 1)
        limits = torch.searchsorted(parent.contiguous(), ptr)
        h = torch.cat([h[parent], offset], 1)
        kept = []
        for edges in self.fine:
            h = edges(h, *neighbours(h, limits, self.k))
            kept.append(h)
        score = self.head(torch.cat([coarse[parent], offset, *kept], 1))[:, 0]
        return sibling_fractions(score, self.rest(coarse)[:, 0], parent)


class UpscalingUNet(nn.Module):
    """Images of coarse layers, upscaled and put through a UNet; a score for every fine cell, and one for the rest.

    Parameters
    ----------
    coarse, fine : sequence of int
        Cells along a side of each layer, divisors of 64.
    graph : bool
        Images are of the neutral energy that a graph network finds in every coarse cell, upscaled by transpose
        convolutions (Graph-UNet); or of the measured energy, upscaled by `UpConv`, and of the tracks (Conv-UNet).
    width_cm : float
    width : int, default=8
        Of the UNet.
    window : int, default=32
        Base pixels around the energy that are seen in training; all are in prediction.
    """

    def __init__(
        self,
        coarse: Sequence[int],
        fine: Sequence[int],
        graph: bool,
        width_cm: float = 125.0,
        width: int = 8,
        window: int = 32,
    ) -> None:
        super().__init__()
        self.coarse, self.fine, self.width_cm, self.window = tuple(coarse), tuple(fine), width_cm, window
        layers = len(self.coarse)
        self.graph = JointGraph(1) if graph else None
        if graph:
            self.up = nn.ModuleList(nn.ConvTranspose2d(1, 4, BASE // n, BASE // n) for n in self.coarse)
        else:
            self.up = nn.ModuleList(UpConv(CHANNELS, BASE // n) for n in self.coarse)
        self.unet = UNetBlock(4 * layers if graph else layers + 1, 2 * layers, width)

    def forward(self, x: Tensor, ptr: Tensor, parent: Tensor, offset: Tensor) -> Tensor:
        """Fractions of the children, shape (M,); see `BroadcastGraph.forward`. Outside the window all are equal."""
        sample, n = sample_of(ptr), len(ptr) - 1
        size = min(self.window, BASE) if self.training else BASE
        corner = x.new_zeros(n, 2, dtype=torch.long)
        if size < BASE:
            corner = window_corners(x, sample, n, size, self.width_cm)
        track = x[:, 5] > 0
        energy = x[:, 3]
        if self.graph is not None:
            energy = energy * torch.sigmoid(self.graph(x, ptr)["scores"][:, 0])
        of = (sample, corner, size)
        filled, places = [], []
        for layer, (cells, up) in enumerate(zip(self.coarse, self.up, strict=True), 1):
            image, *place = layer_image(x, energy, ~track & (x[:, 4] == layer), *of, cells, self.width_cm)
            filled.append(up(image))
            places.append(place)
        if self.graph is None:
            filled.append(layer_image(x, x[:, 6], track, *of, BASE, self.width_cm)[0])
        h = self.unet(torch.cat(filled, 1))
        side = torch.tensor(self.coarse, device=x.device)
        pitch = self.width_cm / side[(x[parent, 4].long() - 1).clamp(min=0)]
        position = x[parent, :2] + offset * pitch[:, None]
        score, rest = x.new_zeros(len(parent)), x.new_zeros(len(x))
        for layer, (row, pixel) in enumerate(places):
            pooled = functional.avg_pool2d(h[:, len(self.coarse) + layer, None], BASE // self.coarse[layer])
            rest = rest.index_put((row,), pooled.flatten()[pixel])
            maps = functional.avg_pool2d(h[:, layer, None], BASE // self.fine[layer])
            _, child, at = layer_image(
                position, torch.zeros_like(score), x[parent, 4] == layer + 1, sample[parent], corner, size,
                self.fine[layer], self.width_cm,
            )  # fmt: skip
            score = score.index_put((child,), maps.flatten()[at])
        return sibling_fractions(score, rest, parent)

"""What the networks of cells are given: raw columns of each point, and scaled features made of them."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

COLUMNS = ("x", "y", "z", "energy", "layer", "is_track", "momentum")
"""Of points: position [cm], energy of a cell, layer (0 for a track), kind, momentum of a track [GeV]."""
LEAST_ENERGY = 1e-3
SLOPE = 0.2


class Scaling(nn.Module):
    """Scaled features: x, y from the energy-weighted centre of the event, z, ½ ln E, is_track, ½ ln p.

    The buffer ``numbers`` holds the centre of z and the scales of x and y, and of z [cm].
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.tensor([200.0, 15.0, 60.0]))
        self.numbers: Tensor

    def forward(self, x: Tensor, sample: Tensor, n: int) -> Tensor:
        """Raw columns (N, 7) to features (N, 6)."""
        energy, is_track = x[:, 3], x[:, 5]
        weight = energy.clamp(min=0) + 1e-6
        total = x.new_zeros(n).index_add(0, sample, weight)
        middle = x.new_zeros(n, 2).index_add(0, sample, weight[:, None] * x[:, :2]) / total.clamp(min=1e-12)[:, None]
        across = (x[:, :2] - middle[sample]) / self.numbers[1]
        along = (x[:, 2] - self.numbers[0]) / self.numbers[2]
        cell, track = (0.5 * v.clamp(min=LEAST_ENERGY).log() for v in (energy, x[:, 6]))
        columns = (along, cell * (1 - is_track), is_track, track * is_track)
        return torch.cat([across, torch.stack(columns, 1)], 1)


def sample_of(ptr: Tensor) -> Tensor:
    """Number of the sample of every point."""
    length = ptr[1:] - ptr[:-1]
    return torch.repeat_interleave(torch.arange(len(length), device=ptr.device), length)


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with leaky ReLU between them."""
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])

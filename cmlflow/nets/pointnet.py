"""PointNet segmentation: transforms of input and features, a global feature, an answer for every point."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cmlflow.nets.dropout import EventDropout

HEADS: dict[str, tuple[int, ...]] = {
    "standard": (512, 256, 128),
    "large": (1024, 512, 256, 128, 128),
    "larger": (1024, 1024, 512, 256, 256),
    "largest": (2048, 1024, 1024, 512, 512, 256),
}
"""Sizes of the head at width 1."""
PENALTY = 1e-3


class Norm(nn.BatchNorm1d):
    """Batch norm of rows; where a batch in training is one row alone, running statistics stand for its own."""

    def forward(self, x: Tensor) -> Tensor:
        """Rows (N, C), normalised."""
        if self.training and len(x) < 2:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False)
        return super().forward(x)


def dense(sizes: Sequence[int]) -> nn.Sequential:
    """Linear, ReLU and batch norm of each row, from one size to the next."""
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU(), Norm(b)]
    return nn.Sequential(*layers)


class Padding:
    """Points of samples of different lengths as one block (B, M), short ones filled with their first point.

    A maximum over the points of a sample is then that of the sample itself, and nothing else is computed on the block.
    """

    def __init__(self, ptr: Tensor) -> None:
        length = ptr[1:] - ptr[:-1]
        place = torch.arange(int(length.max()) if len(length) else 0, device=ptr.device)
        self.there = place < length[:, None]
        self.index = ptr[:-1, None] + torch.where(self.there, place, 0)
        self.sample = torch.repeat_interleave(torch.arange(len(length), device=ptr.device), length)

    def maximum(self, h: Tensor) -> Tensor:
        """Largest value of each feature in each sample, shape (B, C)."""
        return h[self.index].amax(dim=1)

    def multiply(self, h: Tensor, matrix: Tensor) -> Tensor:
        """Rows of each sample times its matrix (B, C, C), shape (N, C)."""
        return torch.bmm(h[self.index], matrix)[self.there]


class Transform(nn.Module):
    """A matrix for each sample, from all of its points: T-Net."""

    def __init__(self, size: int, width: float = 1.0) -> None:
        super().__init__()
        self.size = size
        a, b, c, d, e = scaled((64, 128, 1024, 512, 256), width)
        self.shared = dense((size, a, b, c))
        self.dense = dense((c, d, e))
        self.matrix = nn.Linear(e, size * size)
        nn.init.zeros_(self.matrix.weight)
        nn.init.zeros_(self.matrix.bias)

    def forward(self, h: Tensor, padding: Padding) -> Tensor:
        """Matrices of shape (B, size, size), the identity at the start of training."""
        out: Tensor = self.matrix(self.dense(padding.maximum(self.shared(h))))
        return out.view(-1, self.size, self.size) + torch.eye(self.size, device=h.device, dtype=h.dtype)


class PointNet(nn.Module):
    """PointNet segmentation: ``network(x, ptr) -> {"scores": (N, O), "penalty": (B,)}``.

    Parameters
    ----------
    in_features, outputs : int
    width : float, default=1
        Multiplies all sizes, none below 8.
    head : {"standard", "large", "larger", "largest"}
    dropout : float, default=0.3

    Raises
    ------
    ValueError
        A width that is not positive, or another head.

    References
    ----------
    C. R. Qi et al., PointNet, arXiv:1612.00593; M. Jovanovic, "PointNet for Particle Flow Energy Reconstruction:
    Documentation" (2024).
    """

    def __init__(
        self, in_features: int, outputs: int = 1, width: float = 1.0, head: str = "standard", dropout: float = 0.3
    ) -> None:
        super().__init__()
        if not width > 0:
            raise ValueError(f"width is {width}, expected a positive number")
        if head not in HEADS:
            raise ValueError(f"head is {head!r}, expected one of {', '.join(HEADS)}")
        (point,) = scaled((96,), width)
        a, b, c = scaled((128, 256, 1024), width)
        first, *others = scaled(HEADS[head], width)
        self.input_transform = Transform(in_features, width)
        self.points = dense((in_features, point, point))
        self.feature_transform = Transform(point, width)
        self.shared = dense((point, a, b, c))
        self.of_point = nn.Linear(point, first)  # the first layer on [point, global], split
        self.of_sample = nn.Linear(c, first, bias=False)
        self.norm = Norm(first)
        self.head = dense((first, *others))
        self.dropout = EventDropout(dropout)
        self.out = nn.Linear(others[-1], outputs)

    def forward(self, x: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        """Points of shape (N, F) of samples bounded by `ptr` (B + 1,), none of them empty."""
        padding = Padding(ptr)
        h = padding.multiply(x, self.input_transform(x, padding))
        h = self.points(h)
        matrix = self.feature_transform(h, padding)
        h = padding.multiply(h, matrix)
        whole = padding.maximum(self.shared(h))
        h = self.norm(functional.relu(self.of_point(h) + self.of_sample(whole)[padding.sample]))
        off = matrix @ matrix.transpose(1, 2) - torch.eye(matrix.shape[1], device=x.device, dtype=x.dtype)
        penalty = PENALTY * off.square().sum(dim=(1, 2))
        return {"scores": self.out(self.dropout(self.head(h))), "penalty": penalty}


def scaled(sizes: Sequence[int], width: float) -> list[int]:
    """Sizes times a width, none below 8."""
    return [max(8, int(size * width)) for size in sizes]

"""Dropout whose noise belongs to an event, whatever else is in the batch and however many processes train."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MIX = 0x9E3779B97F4A7C15  # odd; tells the layers of a network apart


class EventDropout(nn.Dropout):
    """As `torch.nn.Dropout`; after `seed_dropout`, the noise of each event comes from a seed of its own."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)
        self.events: list[tuple[int, int]] | None = None  # number of points and seed of each event of the batch
        self.calls = 0

    def forward(self, input: Tensor) -> Tensor:
        """Features of shape (N, F), the events of the batch one after the other."""
        if self.events is None or not self.training or not self.p:
            return super().forward(input)
        self.calls += 1
        noise = [self._noise(n, input.shape[1], seed) for n, seed in self.events]
        keep = (torch.cat(noise) >= self.p).to(input.device)
        return input * keep / (1 - self.p)

    def _noise(self, n_points: int, n_features: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed((seed + MIX * self.calls) % 2**63)
        return torch.rand(n_points, n_features, generator=generator)


def seed_dropout(network: nn.Module, sizes: Sequence[int], seeds: Sequence[int]) -> None:
    """Give every `EventDropout` of a network the sizes and seeds of the events of the next batch.

    Parameters
    ----------
    network : torch module
    sizes, seeds : sequence of int
        Number of points, and seed, of each event; none of them for ordinary dropout again.
    """
    layers = [module for module in network.modules() if isinstance(module, EventDropout)]
    for number, layer in enumerate(layers):
        layer.calls = 0
        events = [(n, (seed + MIX * 1000 * (number + 1)) % 2**63) for n, seed in zip(sizes, seeds, strict=True)]
        layer.events = events or None

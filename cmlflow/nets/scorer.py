"""Small networks that score rows of features standardised by the training sample, and their fit."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cmlflow.nets.backbones.scaling import mean_and_spread


class Standardise(nn.Module):
    """(feature - mean) / scale, with mean and scale from the training sample.

    Parameters
    ----------
    n_features : int
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def standardise(self, *parts: Tensor) -> None:
        """Take mean and scale from features of shape (N, F), in one or several parts."""
        for own, value in zip((self.mean, self.scale), mean_and_spread(*parts), strict=True):
            own.copy_(value)

    def scaled(self, features: Tensor) -> Tensor:
        """Standardised features of shape (..., F)."""
        return (features - self.mean) / self.scale


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers of the given sizes with ELU between them."""
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ELU()]
    return nn.Sequential(*layers[:-1])


def minimise(
    network: nn.Module,
    loss_of_step: Callable[[], Tensor],
    n_steps: int,
    learning_rate: float,
    name: str = "",
    progress: bool = False,
) -> None:
    """Adam with a learning rate that falls linearly to zero.

    Parameters
    ----------
    network : torch module
        Its parameters are changed in place.
    loss_of_step : callable
        Draws a batch and returns its loss, a scalar.
    n_steps : int
    learning_rate : float
        At the start.
    name : str
        Label of the progress bar.
    progress : bool, default=False
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    for step in tqdm(range(n_steps), name, disable=not progress, dynamic_ncols=True):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / n_steps)
        loss = loss_of_step()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

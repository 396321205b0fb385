"""Permutation-equivariant layers with the mean over an event: DeepSet."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from cmlflow.nets.cells import LEAST_ENERGY, Scaling, mlp, sample_of

SIZES = (4, 6, 12, 8, 4)
HIDDEN = (10, 20, 15, 10)
HEAD = (20, 40, 30, 10, 5)


class DeepSet(nn.Module):
    """tanh(Γ(x) − Λ(mean of x over the event)), four times; a head on all four: 9,961 parameters at width 1.

    Parameters
    ----------
    outputs : int
    width : int, default=1
        Multiplies all sizes.
    tracks : bool, default=False
        Inputs are x, y, z, ½ ln E, is_track and ½ ln p; without it x, y, z and ½ ln of energy or momentum.

    Raises
    ------
    ValueError
        A width below 1.

    References
    ----------
    F. A. Di Bello et al., arXiv:2003.08863; M. Zaheer et al., Deep Sets, arXiv:1703.06114.
    """

    def __init__(self, outputs: int = 1, width: int = 1, tracks: bool = False) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width is {width}, expected 1 or more")
        self.tracks = tracks
        self.scaling = Scaling()
        first, *others = SIZES
        sizes = [6 if tracks else first, *(width * s for s in others)]
        hidden = [width * h for h in HIDDEN]
        pairs = list(itertools.pairwise(sizes))
        self.own = nn.ModuleList(mlp(a, *hidden, b) for a, b in pairs)
        self.mean = nn.ModuleList(mlp(a, *hidden, b) for a, b in pairs)
        self.head = mlp(sum(sizes[1:]), *(width * h for h in HEAD), outputs)

    def forward(self, x: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        """Raw columns (N, 7) of samples bounded by `ptr` to scores (N, outputs)."""
        sample, n = sample_of(ptr), len(ptr) - 1
        h = self.scaling(x, sample, n)
        if not self.tracks:
            e = 0.5 * (x[:, 3] + x[:, 6]).clamp(min=LEAST_ENERGY).log()
            h = torch.cat([h[:, :3], e[:, None]], 1)
        count = (ptr[1:] - ptr[:-1]).clamp(min=1)[:, None]
        kept = []
        for own, mean in zip(self.own, self.mean, strict=True):
            average = h.new_zeros(n, h.shape[1]).index_add(0, sample, h) / count
            h = torch.tanh(own(h) - mean(average)[sample])
            kept.append(h)
        return {"scores": self.head(torch.cat(kept, 1))}

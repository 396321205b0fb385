"""Sums over an event: how much energy there is in all, which no maximum over neighbours can tell."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cmlflow.nets.backbones import operators
from cmlflow.nets.backbones.operators import event_sums_of


class EventSums(nn.Module):
    """log(1 + sum of w_j phi(h_j) over the points j of an event), for hits and for tracks apart, at every point.

    Whether neutral energy hides in the shower of a track shows in the energy of the whole, compared with the track's
    momentum. DynamicEdgeConv takes maxima over neighbours and cannot add.

    Parameters
    ----------
    in_features : int
    width : int, default=16
        Sums over hits, and as many over tracks.

    References
    ----------
    Zaheer et al., Deep Sets, arXiv:1703.06114, theorem 2.
    """

    def __init__(self, in_features: int, width: int = 16) -> None:
        super().__init__()
        self.phi = nn.Linear(in_features, 2 * width)
        self.out_features = 2 * width

    def forward(self, h: Tensor, weight: Tensor, is_track: Tensor, bounds: list[int] | Tensor) -> Tensor:
        """Sums of every point's event.

        Parameters
        ----------
        h : Tensor of shape (N, in_features)
        weight : Tensor of shape (N,)
            Energy of a hit, momentum of a track.
        is_track : Tensor of shape (N,), bool
        bounds : list of int or Tensor of shape (B + 1,), int64
            Limits of the events.

        Returns
        -------
        Tensor of shape (N, 2 * width)
        """
        of_hits, of_tracks = functional.softplus(self.phi(h)).chunk(2, 1)
        both = torch.cat([of_hits * ~is_track[:, None], of_tracks * is_track[:, None]], 1) * weight[:, None]
        if isinstance(bounds, Tensor):
            return torch.log1p(operators.event_sums(both, bounds))
        return torch.log1p(event_sums_of(both, bounds))

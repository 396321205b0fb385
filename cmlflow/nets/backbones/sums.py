"""Sums over an event: how much energy there is in all, which no maximum over neighbours can tell."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


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

    def forward(self, h: Tensor, weight: Tensor, is_track: Tensor, bounds: list[int]) -> Tensor:
        """Sums of every point's event.

        Parameters
        ----------
        h : Tensor of shape (N, in_features)
        weight : Tensor of shape (N,)
            Energy of a hit, momentum of a track.
        is_track : Tensor of shape (N,), bool
        bounds : list of int
            Limits of the events.

        Returns
        -------
        Tensor of shape (N, 2 * width)
        """
        of_hits, of_tracks = functional.softplus(self.phi(h)).chunk(2, 1)
        both = torch.cat([of_hits * ~is_track[:, None], of_tracks * is_track[:, None]], 1) * weight[:, None]
        sizes = torch.tensor(bounds, device=h.device).diff()
        event = torch.repeat_interleave(torch.arange(len(sizes), device=h.device), sizes)
        sums = both.new_zeros(len(sizes), both.shape[1]).index_add(0, event, both)
        return torch.log1p(sums)[event]

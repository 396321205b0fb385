"""Scaling of the input features; part of the model, so that a saved model knows what it was fed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cmlflow.sampling.inputs import FEATURES, TRACK_FEATURES
from cmlflow.sampling.points import CELL

SCALINGS = ("raw", "hgcal", "projective", "standard")
REFERENCE_Z = 350.0  # cm: projected coordinates are lengths here, near the shower maximum of the HGCAL
DISTANCE_UNIT = 1.0  # cm: distances to tracks are scaled as log(1 + distance / unit)
SMALLEST_Z = 1.0  # cm: slopes of hits in the plane of the origin stay finite
KIND, DISTANCE, MOMENTUM = (TRACK_FEATURES.index(name) for name in ("kind", "distance", "momentum"))


class InputScaling(nn.Module):
    """(feature - offset) / scale, with log(1 + energy / unit) in place of the energy except for ``"raw"``.

    Parameters
    ----------
    name : {"raw", "hgcal", "projective", "standard"}
        ``"raw"`` is the paper's input (arXiv:2603.23356, section III.1) and changes nothing. ``"hgcal"`` brings
        x/10, y/10, (z-360)/40, log(1+E)/2 and layer/20 to the order of one, which trains several times faster.
        ``"projective"`` is ``"hgcal"`` with x and y projected along the line to the origin to z = 350 cm: constant
        along a shower.
        ``"standard"`` takes mean and standard deviation of each feature from the training data (`fit`), with the
        median hit energy as unit, for any detector.
    in_features : int, default=5
        5 for hits, 8 for points of hits and tracks (`cmlflow.sampling.event_points`): the kind stays 0 or 1, the
        distance becomes log(1 + distance / 1 cm), and the momentum is scaled as the energy. Further columns are
        features of the events' own, which all scalings but ``"raw"`` standardise by the training data; nan becomes
        their mean.
    tracks : bool, optional
        Whether points are hits and tracks; by default with 8 features.
    hidden : sequence of int
        Columns that become 0, so that the network does not see them.

    Raises
    ------
    ValueError
        For a name that is not in `SCALINGS`, or a number of features that does not go with it.
    """

    offset: Tensor
    scale: Tensor
    unit: Tensor

    def __init__(
        self, name: str = "raw", in_features: int = 5, tracks: bool | None = None, hidden: Sequence[int] = ()
    ) -> None:
        super().__init__()
        if name not in SCALINGS:
            raise ValueError(f"scaling is {name!r}, expected one of {SCALINGS}")
        tracks = in_features == len(TRACK_FEATURES) if tracks is None else tracks
        n_base = len(TRACK_FEATURES if tracks else FEATURES)
        if name != "raw" and in_features < n_base:
            kind = "hits and tracks" if tracks else "hits"
            raise ValueError(
                f"in_features is {in_features}, expected {n_base} or more for {kind} with the scaling {name!r}"
            )
        self.name, self.hidden = name, list(hidden)
        self.tracks = name != "raw" and tracks
        self.n_base = n_base
        offset, scale = torch.zeros(in_features), torch.ones(in_features)
        if name in ("hgcal", "projective"):
            offset[2] = 360.0
            scale[:5] = torch.tensor([10.0, 10.0, 40.0, 2.0, 20.0])
            if self.tracks:
                scale[DISTANCE], scale[MOMENTUM] = 2.0, 2.0
        self.register_buffer("offset", offset)
        self.register_buffer("scale", scale)
        self.register_buffer("unit", torch.tensor(1.0))

    def fit(self, x: Tensor) -> None:
        """Take offset, scale and unit from features of shape (N, F), if this is the ``"standard"`` scaling."""
        if self.name == "raw" or not len(x):
            return
        for i in range(self.n_base, x.shape[1]):
            known = x[~x[:, i].isnan(), i : i + 1]
            mean, spread = mean_and_spread(known) if len(known) else (torch.zeros(1), torch.ones(1))
            self.offset[i], self.scale[i] = mean[0], spread[0]
        if self.name != "standard":
            return
        energies = x[x[:, KIND] == CELL, 3] if self.tracks else x[:, 3]
        energy = energies.median() if len(energies) else torch.tensor(0.0)
        self.unit.copy_(energy if energy > 0 else torch.tensor(1.0))
        x = self._with_logarithms(x)[:, : self.n_base]
        for own, value in zip((self.offset, self.scale), mean_and_spread(x), strict=True):
            own[: self.n_base] = value
        if self.tracks:
            self.offset[KIND], self.scale[KIND] = 0.0, 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Scale features of shape (N, F): x, y, z, energy, layer; with tracks also kind, distance, momentum."""
        if self.name == "projective":
            x = torch.cat([slopes(x) * REFERENCE_Z, x[:, 2:]], 1)
        if self.name != "raw":
            x = (self._with_logarithms(x) - self.offset) / self.scale
        if x.shape[1] > self.n_base:
            x = torch.cat([x[:, : self.n_base], x[:, self.n_base :].nan_to_num()], 1)
        if self.hidden:
            x = x.clone()
            x[:, self.hidden] = 0
        return x

    def _with_logarithms(self, x: Tensor) -> Tensor:
        columns = [x[:, :3], torch.log1p(x[:, 3:4] / self.unit), x[:, 4:]]
        if self.tracks:
            distance, momentum = x[:, DISTANCE : DISTANCE + 1], x[:, MOMENTUM : MOMENTUM + 1]
            columns[2:] = [x[:, 4:6], torch.log1p(distance / DISTANCE_UNIT), torch.log1p(momentum / self.unit)]
            columns.append(x[:, MOMENTUM + 1 :])
        return torch.cat(columns, 1)

    def extra_repr(self) -> str:
        return repr(self.name)


def mean_and_spread(*parts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of features of shape (N, F), together; 1 in place of that of a constant feature.

    One part after the other is looked at, so that they need not be put together.
    """
    n = sum(len(x) for x in parts)
    mean = torch.stack([x.double().sum(0) for x in parts]).sum(0) / n
    square = torch.stack([(x.double() - mean).square().sum(0) for x in parts]).sum(0) / n
    mean, spread = mean.float(), square.sqrt().float()
    return mean, torch.where(spread > 1e-6 * (1 + mean.abs()), spread, 1.0)


def slopes(x: Tensor) -> Tensor:
    """x/z and y/z of points whose first columns are x, y, z [cm], shape (N, 2): constant along a line of flight."""
    z = x[:, 2:3]
    z = torch.where(z.abs() < SMALLEST_Z, torch.where(z < 0, -SMALLEST_Z, SMALLEST_Z), z)
    return x[:, :2] / z

"""Scaling of the input features; part of the model, so that a saved model knows what it was fed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALINGS = ("raw", "hgcal", "projective", "standard")
REFERENCE_Z = 350.0  # cm: projected coordinates are lengths here, near the shower maximum of the HGCAL
SMALLEST_Z = 1.0  # cm: slopes of hits in the plane of the origin stay finite


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

    Raises
    ------
    ValueError
        For a name that is not in `SCALINGS`.
    """

    offset: Tensor
    scale: Tensor
    unit: Tensor

    def __init__(self, name: str = "raw") -> None:
        super().__init__()
        if name not in SCALINGS:
            raise ValueError(f"scaling is {name!r}, expected one of {SCALINGS}")
        self.name = name
        hgcal = name in ("hgcal", "projective")
        self.register_buffer("offset", torch.tensor([0.0, 0.0, 360.0 if hgcal else 0.0, 0.0, 0.0]))
        self.register_buffer("scale", torch.tensor([10.0, 10.0, 40.0, 2.0, 20.0] if hgcal else [1.0] * 5))
        self.register_buffer("unit", torch.tensor(1.0))

    def fit(self, x: Tensor) -> None:
        """Take offset, scale and unit from features of shape (N, 5), if this is the ``"standard"`` scaling."""
        if self.name != "standard" or not len(x):
            return
        energy = x[:, 3].median()
        self.unit.copy_(energy if energy > 0 else torch.tensor(1.0))
        x = self._with_log_energy(x)
        self.offset.copy_(x.mean(0))
        spread = x.std(0, correction=0)
        self.scale.copy_(torch.where(spread > 1e-6, spread, 1.0))  # a constant feature stays as it is

    def forward(self, x: Tensor) -> Tensor:
        """Scale features of shape (N, 5): x, y, z, energy, layer."""
        if self.name == "raw":
            return x
        if self.name == "projective":
            x = torch.cat([slopes(x) * REFERENCE_Z, x[:, 2:]], 1)
        return (self._with_log_energy(x) - self.offset) / self.scale

    def _with_log_energy(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :3], torch.log1p(x[:, 3:4] / self.unit), x[:, 4:]], 1)

    def extra_repr(self) -> str:
        return repr(self.name)


def slopes(x: Tensor) -> Tensor:
    """x/z and y/z of points whose first columns are x, y, z [cm], shape (N, 2): constant along a line of flight."""
    z = x[:, 2:3]
    z = torch.where(z.abs() < SMALLEST_Z, torch.where(z < 0, -SMALLEST_Z, SMALLEST_Z), z)
    return x[:, :2] / z

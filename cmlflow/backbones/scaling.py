"""Fixed scaling of the input features; part of the model, so that a saved model knows what it was fed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALINGS: dict[str, tuple[tuple[float, ...], tuple[float, ...], bool]] = {
    # name: offset and scale of x, y, z [cm], energy, layer; whether log(1 + energy) replaces the energy
    "raw": ((0.0, 0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0, 1.0), False),
    "hgcal": ((0.0, 0.0, 360.0, 0.0, 0.0), (10.0, 10.0, 40.0, 2.0, 20.0), True),
}


class InputScaling(nn.Module):
    """(feature - offset) / scale, with log(1 + energy) in place of the energy where the scaling says so.

    Parameters
    ----------
    name : {"raw", "hgcal"}
        ``"raw"`` is the paper's input (arXiv:2603.23356, section III.1) and changes nothing; ``"hgcal"`` brings
        x/10, y/10, (z-360)/40, log(1+E)/2 and layer/20 to the order of one, which trains several times faster.

    Raises
    ------
    ValueError
        For a name that is not in `SCALINGS`.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, name: str = "raw") -> None:
        super().__init__()
        if name not in SCALINGS:
            raise ValueError(f"scaling is {name!r}, expected one of {sorted(SCALINGS)}")
        offset, scale, self.log_energy = SCALINGS[name]
        self.name = name
        self.register_buffer("offset", torch.tensor(offset), persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scale features of shape (N, 5): x, y, z, energy, layer."""
        if self.log_energy:
            x = torch.cat([x[:, :3], torch.log1p(x[:, 3:4]), x[:, 4:]], 1)
        return (x - self.offset) / self.scale

    def extra_repr(self) -> str:
        return repr(self.name)

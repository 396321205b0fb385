"""Images of the layers of a slab detector: ConvNet and UNet of arXiv:2003.08863, appendix A."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cmlflow.nets.cells import sample_of

BASE = 64
"""Pixels along a side of the finest layer."""
STEP = 8
"""Windows begin at multiples of so many base pixels."""
CHANNELS = (8, 16, 32, 64)
PAPER_CHANNELS = (16, 32, 64, 128, 256)
MIDDLES = ("3x3", "1x1")


class UpConv(nn.Sequential):
    """One layer's image to the finest pixels: convolutions, then pixels out of channels (equation A.1)."""

    def __init__(self, channels: Sequence[int], up: int) -> None:
        layers: list[nn.Module] = []
        for a, b in zip((1, *channels[:-1]), channels, strict=True):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.LeakyReLU(0.1), nn.BatchNorm2d(b)]
        super().__init__(*layers, nn.PixelShuffle(up), nn.Conv2d(channels[-1] // up**2, 1, 1), nn.ReLU())


class Residual(nn.Module):
    """Two convolutions with batch norm; a shortcut, with a 1 × 1 convolution where sizes differ."""

    def __init__(self, size: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.one = nn.Conv2d(size, out, 3, stride, padding=1, bias=False)
        self.two = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(out), nn.BatchNorm2d(out)])
        self.shortcut: nn.Module = nn.Identity()
        if size != out or stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(size, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, size, H, W) to (B, out, H / stride, W / stride)."""
        h = functional.relu(self.norms[0](self.one(x)))
        return functional.relu(self.norms[1](self.two(h)) + self.shortcut(x))


class UNetBlock(nn.Module):
    """Four steps down, four up, with skips: images (B, size, H, W) to (B, out, H, W), H and W multiples of 16."""

    def __init__(self, size: int = 6, out: int = 6, width: int = 8) -> None:
        super().__init__()
        w = width
        down, up = (w, w, 2 * w, 4 * w, 8 * w), (8 * w, 4 * w, 2 * w, w, w)
        self.stem = Residual(size, w)
        self.down = nn.ModuleList(Residual(a, b, 2) for a, b in itertools.pairwise(down))
        self.bottom = Residual(8 * w, 8 * w)
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in itertools.pairwise(up))
        skips = (4 * w, 2 * w, w, w)
        self.blocks = nn.ModuleList(Residual(b + s, b) for b, s in zip(up[1:], skips, strict=True))
        self.out = nn.Conv2d(w, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        h = self.stem(x)
        skips = []
        for step in self.down:
            skips.append(h)
            h = step(h)
        h = self.bottom(h)
        for up, block, skip in zip(self.up, self.blocks, reversed(skips), strict=True):
            h = block(torch.cat([up(h), skip], 1))
        out: Tensor = self.out(h)
        return out


class LayerImages(nn.Module):
    """ConvNet, or with `unet` UNet: the neutral fraction of every cell from the images of all layers and of tracks.

    Parameters
    ----------
    n_cells : sequence of int
        Cells along a side of each layer, divisors of 64.
    width_cm : float
        Side of the detector.
    channels : sequence of int
        Of `UpConv`.
    middle : {"3x3", "1x1"}
    unet : int, default=0
        Width of the UNet; 0 is none.
    window : int, default=32
        Base pixels around the energy that are seen in training; all are in prediction.

    Raises
    ------
    ValueError
        Cells that do not divide the finest pixels, or another middle.

    References
    ----------
    F. A. Di Bello et al., arXiv:2003.08863, appendix A.
    """

    def __init__(
        self,
        n_cells: Sequence[int],
        width_cm: float = 125.0,
        channels: Sequence[int] = CHANNELS,
        middle: str = "3x3",
        unet: int = 0,
        window: int = 32,
    ) -> None:
        super().__init__()
        for layer, n in enumerate(n_cells, 1):
            if BASE % n:
                raise ValueError(f"layer {layer} has {n} cells along a side, expected a divisor of {BASE}")
        if middle not in MIDDLES:
            raise ValueError(f"middle is {middle!r}, expected one of {', '.join(MIDDLES)}")
        self.n_cells, self.width_cm, self.window = tuple(n_cells), width_cm, window
        layers = len(self.n_cells)
        self.up = nn.ModuleList(UpConv(channels, BASE // n) for n in self.n_cells)
        self.middle: nn.Module
        if middle == "1x1":
            self.middle = nn.Conv2d(layers + 1, layers, 1)
        else:
            self.middle = nn.Sequential(
                nn.Conv2d(layers + 1, 32, 3, padding=1),
                nn.LeakyReLU(0.1),
                nn.BatchNorm2d(32),
                nn.Conv2d(32, layers, 3, padding=1),
            )
        self.unet: nn.Module = UNetBlock(layers, layers, unet) if unet else nn.Identity()
        self.down = nn.ModuleList(nn.Conv2d(1, 1, BASE // n, BASE // n) for n in self.n_cells)

    def forward(self, x: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        """Raw columns (N, 7) of samples bounded by `ptr` to scores (N, 1); 0 for tracks and outside the window."""
        sample, n = sample_of(ptr), len(ptr) - 1
        size = min(self.window, BASE) if self.training else BASE
        corner = x.new_zeros(n, 2, dtype=torch.long)
        if size < BASE:
            corner = window_corners(x, sample, n, size, self.width_cm)
        track = x[:, 5] > 0
        of = (sample, corner, size)
        filled, places = [], []
        for layer, (cells, up) in enumerate(zip(self.n_cells, self.up, strict=True), 1):
            image, *place = layer_image(x, x[:, 3], ~track & (x[:, 4] == layer), *of, cells, self.width_cm)
            filled.append(up(image))
            places.append(place)
        filled.append(layer_image(x, x[:, 6], track, *of, BASE, self.width_cm)[0])
        h = self.unet(self.middle(torch.cat(filled, 1)))
        scores = x.new_zeros(len(x), 1)
        for layer, (down, (row, pixel)) in enumerate(zip(self.down, places, strict=True)):
            scores = scores.index_put((row,), down(h[:, layer : layer + 1]).flatten()[pixel][:, None].to(scores.dtype))
        return {"scores": scores}


def layer_image(
    x: Tensor, value: Tensor, of: Tensor, sample: Tensor, corner: Tensor, size: int, cells: int, width_cm: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Image of some points, ln(1 + 10 E).

    Parameters
    ----------
    x : Tensor of shape (N, 2 or more)
        x and y [cm] first.
    value : Tensor of shape (N,)
    of : Tensor of shape (N,), bool
        Points that are in it.
    sample : Tensor of shape (N,), int64
    corner : Tensor of shape (n, 2), int64
        First base pixel of each sample's window.
    size : int
        Base pixels along a side of the window.
    cells : int
        Cells along a side of the layer.
    width_cm : float

    Returns
    -------
    image : Tensor of shape (n, 1, S, S)
    row, pixel : Tensor of shape (M,), int64
        The points inside the window, and the place of each in the flattened image.
    """
    up, n = BASE // cells, len(corner)
    side = size // up
    at = ((x[:, :2] / width_cm + 0.5) * cells).floor().long().clamp(0, cells - 1) - corner[sample] // up
    inside = of & ((at >= 0) & (at < side)).all(1)
    row = inside.nonzero()[:, 0]
    pixel = (sample[row] * side + at[row, 0]) * side + at[row, 1]
    image = x.new_zeros(n * side * side).index_add(0, pixel, value[row].clamp(min=0))
    return torch.log1p(10 * image).view(n, 1, side, side), row, pixel


def window_corners(x: Tensor, sample: Tensor, n: int, window: int, width_cm: float) -> Tensor:
    """First base pixel of the window of each sample in x and y, around its energy, shape (n, 2)."""
    weight = x[:, 3].clamp(min=0) + 1e-9
    total = x.new_zeros(n).index_add(0, sample, weight)
    middle = x.new_zeros(n, 2).index_add(0, sample, weight[:, None] * x[:, :2]) / total[:, None].clamp(min=1e-12)
    pixel = (middle / width_cm + 0.5) * BASE
    first = torch.round((pixel - window / 2) / STEP).long() * STEP
    return first.clamp(0, BASE - window)

"""Detector geometries as data: where the layers are, how large the cells are, what one MIP is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Detector:
    """A sampling calorimeter of flat layers across the z axis with square cells.

    Layers are numbered 1..n_layers; entry ``layer - 1`` of an array belongs to a layer. Cell (ix, iy) has its centre
    at x = ix ``cell_size``, y = iy ``cell_size``, so the grid maps onto itself under x -> -x, y -> -y and x <-> y.

    Attributes
    ----------
    name : str
        Name that `detector` finds it by, and that events carry.
    z : ndarray of shape (n_layers,), float64 [cm]
        Position of each layer's sensor.
    cell_size : float [cm]
        Side of a cell.
    mip_mev : float [MeV]
        Energy that one minimum-ionising particle leaves in a cell.
    layer_weights : ndarray of shape (n_layers,), float64 [GeV per MIP]
        Energy lost between this layer's sensor and the one before it, per MIP seen: the sum of hit energies times
        weights is the energy of a shower, up to one calibration factor.
    unit : str
        Unit of the hit energies, ``"MIP"`` or ``"GeV"``.
    beam : {"z", "x", "y"}
        Axis about which pseudorapidity, azimuth and ΔR are counted. The slabs are seen as a piece of a barrel: "y".
    """

    name: str
    z: NDArray[np.float64]
    cell_size: float
    mip_mev: float
    layer_weights: NDArray[np.float64]
    unit: str = "MIP"
    beam: str = "z"

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.z)

    def position(self, layer: ArrayLike, ix: ArrayLike, iy: ArrayLike) -> NDArray[np.float32]:
        """Centres of cells, shape (n_cells, 3), float32 [cm].

        Parameters
        ----------
        layer, ix, iy : array_like of shape (n_cells,), int
            Layer 1..n_layers and cell numbers.
        """
        which = np.asarray(layer, np.int64)
        out = np.empty((len(which), 3), np.float32)
        out[:, 0] = np.multiply(ix, self.cell_size)
        out[:, 1] = np.multiply(iy, self.cell_size)
        out[:, 2] = self.z[which - 1]
        return out

    def __repr__(self) -> str:
        return f"<Detector {self.name}: {self.n_layers} layers, {self.cell_size:g} cm cells>"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Slab(Detector):
    """A calorimeter of thick layers, each a square divided into square cells: few of them, and fewer further back.

    Layers are numbered 1..n_layers; entry ``layer - 1`` of an array belongs to a layer. Cells are numbered from 0 at
    x = y = -``width`` / 2; those of all layers have common edges, as every layer's side is a whole number of base
    cells. All deposits are seen, so hit energies are in GeV, and a MIP is not defined.

    Attributes
    ----------
    name, z, cell_size, mip_mev, layer_weights, unit, beam
        As in `Detector`. ``z`` [cm] is the middle of each layer, ``cell_size`` [cm] the side of a base cell, that is
        of the finest grid there is; ``mip_mev`` is nan, ``layer_weights`` are 1, ``unit`` is ``"GeV"``.
    width : float [cm]
        Side of every layer.
    front : ndarray of shape (n_layers,), float64 [cm]
        z at which each layer begins.
    thickness : ndarray of shape (n_layers,), float64 [cm]
    n_cells : ndarray of shape (n_layers,), int64
        Cells along a side of each layer.
    noise : ndarray of shape (n_layers,), float64 [GeV]
        Standard deviation of the electronic noise of a cell.
    sampling : ndarray of shape (n_layers,), float64 [sqrt(GeV)]
        Relative resolution of sampling times the square root of the energy: 0.1 for 10 % / sqrt(E).
    """

    width: float
    front: NDArray[np.float64]
    thickness: NDArray[np.float64]
    n_cells: NDArray[np.int64]
    noise: NDArray[np.float64]
    sampling: NDArray[np.float64]

    @property
    def n_base(self) -> int:
        """Base cells along a side."""
        return round(self.width / self.cell_size)

    @property
    def offset(self) -> NDArray[np.int64]:
        """Number of cells in front of each layer, shape (n_layers + 1,): cells are counted by layer, then x, then y."""
        return np.concatenate([[0], np.cumsum(self.n_cells**2)])

    def position(self, layer: ArrayLike, ix: ArrayLike, iy: ArrayLike) -> NDArray[np.float32]:
        """Centres of cells, shape (n_cells, 3), float32 [cm].

        Parameters
        ----------
        layer, ix, iy : array_like of shape (n_cells,), int
            Layer 1..n_layers and cell numbers 0..``n_cells[layer - 1]`` - 1.
        """
        which = np.asarray(layer, np.int64) - 1
        side = self.width / self.n_cells[which]
        x, y = ((np.asarray(i) + 0.5) * side - self.width / 2 for i in (ix, iy))
        return np.stack([x, y, self.z[which]], axis=1).astype(np.float32)


def _hgcal() -> Detector:
    """High-granularity endcap: 28 layers behind lead and copper, 22 behind steel, silicon cells of 1 cm."""
    layer = np.arange(1, 51)
    front = layer <= 28
    z = np.where(front, 319.8 + 2.5 * (layer - 1) + 0.8, 389.8 + 5.0 * (layer - 29) + 4.1)
    weights = np.where(front, 10.6e-3, 47.4e-3)
    return Detector("hgcal", z, cell_size=1.0, mip_mev=0.08925, layer_weights=weights)


def _slab(name: str, n_cells: list[int], noise_mev: list[float]) -> Slab:
    """Six layers, 25 radiation lengths and 7.4 interaction lengths, 150 cm from the source."""
    thickness = np.array([3 * 3.9, 16 * 3.9, 6 * 3.9, 1.5 * 17.4, 4.1 * 17.4, 1.8 * 17.4])
    front = 150.0 + np.concatenate([[0.0], np.cumsum(thickness)[:-1]]) + np.array([0, 0, 0, 1, 1, 1])
    return Slab(
        name,
        z=front + thickness / 2,
        cell_size=125 / 64,
        mip_mev=float("nan"),
        layer_weights=np.ones(6),
        unit="GeV",
        beam="y",
        width=125.0,
        front=front,
        thickness=thickness,
        n_cells=np.array(n_cells),
        noise=np.array(noise_mev) / 1000,
        sampling=np.array([0.1, 0.1, 0.1, 0.5, 0.5, 0.5]),
    )


DETECTORS: dict[str, Detector] = {
    d.name: d
    for d in (
        _hgcal(),
        _slab("slab-hg", [64, 32, 32, 16, 16, 8], [13, 34, 17, 14, 8, 14]),
        _slab("slab-lg", [32, 8, 8, 8, 8, 8], [4 * 13, 16 * 34, 16 * 17, 4 * 14, 4 * 8, 14]),
        _slab("slab-lg-sum", [32, 8, 8, 8, 8, 8], [2 * 13, 4 * 34, 4 * 17, 2 * 14, 2 * 8, 14]),
        _slab("slab-base", [64] * 6, [0] * 6),
    )
}


def detector(name: str) -> Detector:
    """The geometry of a named detector.

    Parameters
    ----------
    name : str
        ``"hgcal"``: the 50-layer detector in which the core paper's samples are simulated, with the layer weights
        10.6 MeV per MIP (layers 1-28) and 47.4 MeV per MIP (29-50). ``"slab-hg"`` and ``"slab-lg"``: the six layers,
        three electromagnetic and three hadronic, in which particle flow is studied, with fine and with coarse cells;
        ``"slab-lg-sum"``: those coarse cells with the noise of the fine ones in them, added in quadrature;
        ``"slab-base"``: the same with the finest cells in every layer and without noise, the grid of the slab's shower
        libraries. These are `Slab`.

    Raises
    ------
    ValueError
        Lists the names there are.

    References
    ----------
    Contrastive Metric Learning for Point Cloud Segmentation in Highly Granular Detectors, arXiv:2603.23356, III.1.
    F. A. Di Bello et al., Towards a Computer Vision Particle Flow, Eur. Phys. J. C 81 (2021) 107, tables 1 and 2.
    """
    try:
        return DETECTORS[name]
    except KeyError:
        raise ValueError(f"detector {name!r} is not known; there are {', '.join(sorted(DETECTORS))}") from None


def slab_detector(name: str) -> Slab:
    """The geometry of a slab detector by its name; a ValueError lists the names there are."""
    found = DETECTORS.get(name)
    if not isinstance(found, Slab):
        there = ", ".join(n for n, d in DETECTORS.items() if isinstance(d, Slab))
        raise ValueError(f"slab detector {name!r} is not known; there are {there}")
    return found


def beam_axis(name: str | None) -> str:
    """The beam axis of a detector by its name; "z" for detectors that are not known."""
    return DETECTORS[name].beam if name in DETECTORS else "z"

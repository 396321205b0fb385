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
    """

    name: str
    z: NDArray[np.float64]
    cell_size: float
    mip_mev: float
    layer_weights: NDArray[np.float64]

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


def _hgcal() -> Detector:
    """High-granularity endcap: 28 layers behind lead and copper, 22 behind steel, silicon cells of 1 cm."""
    layer = np.arange(1, 51)
    front = layer <= 28
    z = np.where(front, 319.8 + 2.5 * (layer - 1) + 0.8, 389.8 + 5.0 * (layer - 29) + 4.1)
    weights = np.where(front, 10.6e-3, 47.4e-3)
    return Detector("hgcal", z, cell_size=1.0, mip_mev=0.08925, layer_weights=weights)


DETECTORS: dict[str, Detector] = {"hgcal": _hgcal()}


def detector(name: str) -> Detector:
    """The geometry of a named detector.

    Parameters
    ----------
    name : str
        ``"hgcal"``: the 50-layer detector in which the core paper's samples are simulated, with the layer weights
        10.6 MeV per MIP (layers 1-28) and 47.4 MeV per MIP (29-50).

    Raises
    ------
    ValueError
        Lists the names there are.

    References
    ----------
    Contrastive Metric Learning for Point Cloud Segmentation in Highly Granular Detectors, arXiv:2603.23356, III.1.
    """
    try:
        return DETECTORS[name]
    except KeyError:
        raise ValueError(f"detector {name!r} is not known; there are {', '.join(sorted(DETECTORS))}") from None

"""Events in the slab detector: showers moved to where particles come in, added up in its cells, read out with noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmlflow.detectors import Slab
from cmlflow.event import Deposits, Event, Particles, Tracks
from cmlflow.particles import CHARGED, masses
from cmlflow.simulation.library import Shower
from cmlflow.simulation.overlay import reflect
from cmlflow.simulation.selection import Selection, select_cells

Array = NDArray[np.float64]

TRACK_RESOLUTION = 5e-4
"""Relative resolution of a track's momentum per GeV."""

LEAST = 1e-6  # [GeV] smaller deposits are not kept


@dataclass(frozen=True, eq=False)
class Primaries:
    """The particles of one event before the calorimeter.

    Attributes
    ----------
    pdg_id : ndarray of shape (n_particles,), int64
    momentum : ndarray of shape (n_particles, 4), float64 [GeV]
        px, py, pz, E.
    vertex : ndarray of shape (3,), float64 [cm]
        Common origin.
    """

    pdg_id: NDArray[np.int64]
    momentum: Array
    vertex: Array

    def __len__(self) -> int:
        return len(self.pdg_id)

    @property
    def direction(self) -> Array:
        """Unit vectors, shape (n_particles, 3)."""
        p = self.momentum[:, :3]
        out: Array = p / np.linalg.norm(p, axis=1, keepdims=True)
        return out

    @property
    def kinetic(self) -> Array:
        """Kinetic energies [GeV], shape (n_particles,)."""
        out: Array = self.momentum[:, 3] - masses(self.pdg_id)
        return out

    def at(self, z: float | Array) -> Array:
        """x and y [cm] where each particle crosses z [cm]; nan for one that flies backwards.

        Parameters
        ----------
        z : float or ndarray of shape (n_particles,)

        Returns
        -------
        ndarray of shape (n_particles, 2)
        """
        d = self.direction
        forward = d[:, 2] > 0
        slope = np.where(forward[:, None], d[:, :2], np.nan) / np.where(forward, d[:, 2], 1.0)[:, None]
        out: Array = self.vertex[:2] + slope * (np.asarray(z) - self.vertex[2]).reshape(-1, 1)
        return out

    def enters(self, detector: Slab) -> NDArray[np.bool_]:
        """Which particles meet the front face, shape (n_particles,)."""
        point = self.at(float(detector.front[0]))
        x, y = np.abs(point.T) < detector.width / 2  # nan: not
        out: NDArray[np.bool_] = x & y
        return out


def overlay_slab(
    primaries: Primaries,
    showers: Sequence[Shower | None],
    symmetry: Sequence[int],
    detector: Slab,
    rng: np.random.Generator,
    *,
    sampling: bool = True,
    noise: bool = True,
    selection: Selection | None = Selection(),  # noqa: B008
    number: int | None = None,
) -> Event:
    """One event of the slab detector out of single showers.

    A shower's energies are scaled to the kinetic energy of its particle. It is moved by whole base cells, layer by
    layer, to where its particle's straight line runs at the depth of the shower in that layer (`shower_depth`); the
    slant within a layer is left out. What falls outside the detector is lost. Coarse cells are sums of base cells.

    Sampling: a deposit E of one particle in one base cell becomes gamma-distributed with mean E and variance a^2 E, a
    the stochastic term of the layer. Sums of such deposits have the same form, so the size of cells does not matter;
    none is negative. Noise: a normal number for every cell of the detector. With the same state of `rng`, detectors
    with fine and with coarse cells see the same event except for the noise.

    Parameters
    ----------
    primaries : Primaries
    showers : sequence of Shower or None
        One per particle; None for a particle without a shower.
    symmetry : sequence of int
        Symmetry of the grid that each shower is put through, see `reflect`.
    detector : Slab
    rng : numpy.random.Generator
        For sampling, the momenta of tracks, and noise, in this order.
    sampling, noise : bool, default True
        Whether sampling and noise are simulated.
    selection : Selection or None
        Which cells are kept; None keeps every cell with energy above 0. Without noise None is needed.
    number : int, optional
        Event number.

    Returns
    -------
    Event
        Hits sorted by layer, x, y, in GeV. Deposits are what the particles left after sampling; where the noise of a
        cell is positive it is a deposit of particle -1, and a hit in which the noise is larger than any particle's
        share has ``particle_id`` -1. Particles are all primaries, also those that left nothing. Tracks: of the charged
        particles that meet the front face, with momentum smeared by 5e-4 p^2, the true direction, the point of entry
        and, where it runs inside the detector, of crossing into each layer.

    Raises
    ------
    ValueError
        There are not as many showers and symmetries as particles, or cells are selected without noise.

    References
    ----------
    F. A. Di Bello et al., Towards a Computer Vision Particle Flow, Eur. Phys. J. C 81 (2021) 107, sections 2 and 3.
    """
    if not len(showers) == len(symmetry) == len(primaries):
        raise ValueError(f"{len(primaries)} particles, but {len(showers)} showers and {len(symmetry)} symmetries")
    if selection is not None and not (noise and (detector.noise > 0).all()):
        raise ValueError("cells are selected by their noise: pass selection=None where there is none")
    true = deposits_in_cells(primaries, showers, symmetry, detector, rng if sampling else None)
    true[true < LEAST] = 0.0
    tracks = make_tracks(primaries, detector, rng)
    added = rng.normal(0.0, np.repeat(detector.noise, detector.n_cells**2)) if noise else np.zeros(true.shape[1])
    measured = true.sum(axis=0) + added
    keep = measured > 0 if selection is None else select_cells(measured, detector, selection)
    cell = np.flatnonzero(keep)

    left = np.concatenate([true[:, cell], np.maximum(added[cell], 0.0)[None]])
    largest = left.argmax(axis=0) if len(cell) else np.zeros(0, np.int64)
    source = np.append(np.arange(len(primaries)), -1)
    hit, row = np.nonzero(left.T)
    layer = np.searchsorted(detector.offset, cell, side="right")
    ix, iy = np.divmod(cell - detector.offset[layer - 1], detector.n_cells[layer - 1])
    return Event(
        detector.position(layer, ix, iy),
        measured[cell],
        layer,
        source[largest],
        deposits=Deposits(hit, source[row], left[row, hit].astype(np.float32)),
        particles=Particles(
            primaries.pdg_id, primaries.momentum[:, 3].astype(np.float32), primaries.direction.astype(np.float32)
        ),
        tracks=tracks,
        detector=detector.name,
        number=number,
    )


def deposits_in_cells(
    primaries: Primaries,
    showers: Sequence[Shower | None],
    symmetry: Sequence[int],
    detector: Slab,
    rng: np.random.Generator | None = None,
) -> Array:
    """Energy of each particle in each cell, shape (n_particles, n_cells), float64 [GeV]; with `rng` after sampling.

    See `overlay_slab` for the parameters.
    """
    scale = detector.sampling**2
    n_total = int(detector.offset[-1])
    out = np.zeros((len(primaries), n_total))
    half = detector.n_base // 2
    energy = primaries.kinetic
    per_cell = detector.n_base // detector.n_cells
    for p, (shower, kind) in enumerate(zip(showers, symmetry, strict=True)):
        if shower is None:
            continue
        layer = shower.layer.astype(np.int64) - 1
        (x, y), (entry_x, entry_y) = placed(shower, int(kind))
        depth = shower_depth(int(primaries.pdg_id[p]), float(energy[p]), detector)
        wanted = np.stack([primaries.at(z)[p] for z in detector.front + depth])
        shift = np.floor((wanted - (entry_x, entry_y)) / detector.cell_size + 0.5).astype(np.int64)
        x, y = x + shift[layer, 0] + half, y + shift[layer, 1] + half
        inside = (x >= 0) & (x < detector.n_base) & (y >= 0) & (y < detector.n_base)
        layer, x, y = layer[inside], x[inside] // per_cell[layer[inside]], y[inside] // per_cell[layer[inside]]
        cell = detector.offset[layer] + x * detector.n_cells[layer] + y
        edep = shower.edep[inside].astype(np.float64) * (energy[p] / shower.energy / 1000)
        if rng is not None:
            edep = rng.gamma(edep / scale[layer], scale[layer])
        out[p] = np.bincount(cell, edep, n_total)
    return out


def placed(shower: Shower, symmetry: int) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], tuple[Array, Array]]:
    """Cells and entry point [cm] of a slab shower put through a symmetry: cell i, from i to i + 1, goes to -1 - i."""
    x, y = reflect(2 * shower.ix.astype(np.int64) + 1, 2 * shower.iy.astype(np.int64) + 1, symmetry)
    assert shower.entry is not None
    entry = shower.entry.astype(np.float64)
    return ((x - 1) // 2, (y - 1) // 2), reflect(entry[0], entry[1], symmetry)


def shower_depth(pdg_id: int, energy: float, detector: Slab) -> Array:
    """Mean depth of a shower within each layer, from the layer's front, shape (n_layers,) [cm].

    For photons and electrons in the electromagnetic layers the mean of a gamma distribution with b = 0.5 and its
    maximum at ln(E / 15 MeV) + 0.5 (photons) or - 0.5 (electrons) radiation lengths; else the middle of the layer.

    Parameters
    ----------
    pdg_id : int
    energy : float [GeV]
    detector : Slab

    References
    ----------
    Particle Data Group, Review of Particle Physics, passage of particles through matter, eq. 34.36-34.37.
    """
    depth = detector.thickness / 2
    if abs(pdg_id) not in (11, 22):
        return depth
    from scipy.special import gammainc

    b, last = 0.5, 3
    top = max(np.log(energy / 0.015) + (0.5 if pdg_id == 22 else -0.5), 0.5)
    a = 1.0 + b * top
    edges = b * np.concatenate([[0.0], np.cumsum(detector.thickness[:last])]) / RADIATION_LENGTH
    share, moment = (np.diff(gammainc(k, edges)) for k in (a, a + 1.0))
    mean = a / b * moment / np.maximum(share, 1e-12) * RADIATION_LENGTH - edges[:-1] / b * RADIATION_LENGTH
    depth = depth.copy()
    depth[:last] = np.clip(mean, 0.0, detector.thickness[:last])
    return depth


RADIATION_LENGTH = 3.9
"""Radiation length [cm] of the electromagnetic layers."""


def make_tracks(primaries: Primaries, detector: Slab, rng: np.random.Generator) -> Tracks:
    """Tracks of the charged particles that meet the front face, see `overlay_slab`."""
    who = np.flatnonzero(primaries.enters(detector) & np.isin(np.abs(primaries.pdg_id), CHARGED))
    p = np.linalg.norm(primaries.momentum[who, :3], axis=1)
    smeared = np.maximum(p + TRACK_RESOLUTION * p**2 * rng.normal(size=len(who)), 1e-3)
    points = np.empty((len(who), detector.n_layers, 3))
    for i, z in enumerate(detector.front):
        points[:, i, :2], points[:, i, 2] = primaries.at(float(z))[who], z
    entry = points[:, 0].copy()
    points[(np.abs(points[..., :2]) >= detector.width / 2).any(axis=2)] = np.nan
    return Tracks(
        smeared.astype(np.float32),
        primaries.direction[who].astype(np.float32),
        entry.astype(np.float32),
        who,
        points.astype(np.float32),
    )

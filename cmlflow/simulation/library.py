"""Single showers to build events from: `ShowerLibrary`, in memory and on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.detectors import Slab
from cmlflow.detectors import detector as find_detector
from cmlflow.simulation.showerfile import read_showers, write_showers

SPLITS = ("train", "validation", "tuning", "test")
PACKAGED = ("hgcal-em", "hgcal-had", "slab-pi", "slab-gamma", "slab-n")


@dataclass(frozen=True, eq=False)
class Shower:
    """One particle's shower: a view into a `ShowerLibrary`.

    Attributes
    ----------
    pdg_id : int
    energy : float [GeV]
        Energy of the particle; kinetic for showers of a slab detector.
    direction : ndarray of shape (3,), float32
        Unit vector; the particle comes from the origin.
    layer : ndarray of shape (n_cells,), uint8
    ix, iy : ndarray of shape (n_cells,), int16
    edep : ndarray of shape (n_cells,), float32 [MeV]
        Energy deposited in each cell; no cell comes twice.
    entry : ndarray of shape (2,), float32 [cm], or None
        Point of the front face where the particle came in, straight on: showers of a slab detector have it. Cell
        (ix, iy) of theirs covers ix..ix+1 and iy..iy+1 base cells from the same origin.
    """

    pdg_id: int
    energy: float
    direction: NDArray[np.float32]
    layer: NDArray[np.uint8]
    ix: NDArray[np.int16]
    iy: NDArray[np.int16]
    edep: NDArray[np.float32]
    entry: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class ShowerLibrary:
    """Single showers as flat arrays; shower i owns the cells ``offset[i]:offset[i + 1]``.

    Attributes
    ----------
    energy : ndarray of shape (n_showers,), float32 [GeV]
        Energy of each particle; kinetic for showers of a slab detector.
    direction : ndarray of shape (n_showers, 3), float32
        Unit vectors; the particles come from the origin.
    pdg_id : ndarray of shape (n_showers,), int64
    split : ndarray of shape (n_showers,), uint8
        Number in `SPLITS` (train, validation, tuning, test). A shower belongs to exactly one.
    offset : ndarray of shape (n_showers + 1,), int64
    layer : ndarray of shape (n_cells,), uint8
    ix, iy : ndarray of shape (n_cells,), int16
    edep : ndarray of shape (n_cells,), float32 [MeV]
    detector : str
        Name of the geometry.
    entry : ndarray of shape (n_showers, 2), float32 [cm], or None
        Where particles came into a slab detector, see `Shower`; None for other detectors.
    """

    energy: NDArray[np.float32]
    direction: NDArray[np.float32]
    pdg_id: NDArray[np.int64]
    split: NDArray[np.uint8]
    offset: NDArray[np.int64]
    layer: NDArray[np.uint8]
    ix: NDArray[np.int16]
    iy: NDArray[np.int16]
    edep: NDArray[np.float32]
    detector: str = "hgcal"
    entry: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        n, cells = len(self.energy), len(self.edep)
        lengths = {"direction": n, "pdg_id": n, "split": n, "offset": n + 1, "layer": cells, "ix": cells, "iy": cells}
        if self.entry is not None:
            lengths["entry"] = n
        for name, wanted in lengths.items():
            if len(getattr(self, name)) != wanted:
                raise ValueError(f"shower library: {name} has {len(getattr(self, name))} entries, expected {wanted}")
        if self.offset[0] != 0 or self.offset[-1] != cells or (np.diff(self.offset) < 0).any():
            raise ValueError(f"shower library: offset must rise from 0 to the number of cells, {cells}")
        geometry = find_detector(self.detector)
        if isinstance(geometry, Slab) != (self.entry is not None):
            have = "need" if self.entry is None else "have no"
            raise ValueError(f"shower library: showers of {self.detector} {have} entry points")
        last = geometry.n_layers
        if cells and not (self.layer.min() >= 1 and self.layer.max() <= last):
            raise ValueError(
                f"shower library: layers {self.layer.min()}..{self.layer.max()}, but {self.detector} has 1..{last}"
            )

    def __len__(self) -> int:
        return len(self.energy)

    def __getitem__(self, i: int) -> Shower:
        if not 0 <= i < len(self):
            raise IndexError(f"shower {i} asked for, but the library has 0..{len(self) - 1}")
        own = slice(self.offset[i], self.offset[i + 1])
        return Shower(
            int(self.pdg_id[i]), float(self.energy[i]), self.direction[i],
            self.layer[own], self.ix[own], self.iy[own], self.edep[own],
            None if self.entry is None else self.entry[i],
        )  # fmt: skip

    def __repr__(self) -> str:
        counts = ", ".join(f"{int((self.split == k).sum())} {name}" for k, name in enumerate(SPLITS))
        return f"<ShowerLibrary {self.detector}: {len(self)} showers ({counts}), {len(self.edep)} cells>"

    def find(
        self,
        split: str | None = None,
        pdg_ids: Sequence[int] | None = None,
        energy_range: tuple[float, float] | None = None,
    ) -> NDArray[np.int64]:
        """Numbers of the showers that fulfil all conditions, ascending, int64.

        Parameters
        ----------
        split : {"train", "validation", "tuning", "test"}, optional
        pdg_ids : sequence of int, optional
        energy_range : (float, float), optional [GeV]
            Both ends included.
        """
        ok = np.ones(len(self), bool)
        if split is not None:
            ok &= self.split == split_number(split)
        if pdg_ids is not None:
            ok &= np.isin(self.pdg_id, list(pdg_ids))
        if energy_range is not None:
            ok &= (self.energy >= energy_range[0]) & (self.energy <= energy_range[1])
        return np.flatnonzero(ok)

    def take(self, showers: ArrayLike) -> ShowerLibrary:
        """A library of the showers with these numbers, in this order."""
        which = np.asarray(showers, np.int64).reshape(-1)
        count = np.diff(self.offset)[which]
        offset = np.concatenate([[0], np.cumsum(count)])
        cell = np.arange(offset[-1]) + np.repeat(self.offset[which] - offset[:-1], count)
        return ShowerLibrary(
            self.energy[which], self.direction[which], self.pdg_id[which], self.split[which], offset,
            self.layer[cell], self.ix[cell], self.iy[cell], self.edep[cell], self.detector,
            None if self.entry is None else self.entry[which],
        )  # fmt: skip

    def select(
        self,
        split: str | None = None,
        pdg_ids: Sequence[int] | None = None,
        energy_range: tuple[float, float] | None = None,
    ) -> ShowerLibrary:
        """A library of the showers that `find` finds."""
        return self.take(self.find(split, pdg_ids, energy_range))

    @classmethod
    def concatenate(cls, libraries: Sequence[ShowerLibrary]) -> ShowerLibrary:
        """One library of all showers of several, in order.

        Raises
        ------
        ValueError
            There is none, or their detectors differ.
        """
        names = sorted({lib.detector for lib in libraries})
        if len(names) != 1:
            raise ValueError(f"shower libraries of one detector can be concatenated, got {names or 'none'}")
        start = np.cumsum([0] + [len(lib.edep) for lib in libraries])
        offset = np.concatenate(
            [[0]] + [lib.offset[1:] + s for lib, s in zip(libraries, start[:-1], strict=True)], dtype=np.int64
        )
        arrays = {
            f.name: np.concatenate([getattr(lib, f.name) for lib in libraries])
            for f in fields(cls)
            if f.name not in ("offset", "detector", "entry")
        }
        entries = [lib.entry for lib in libraries if lib.entry is not None]
        entry = np.concatenate(entries) if entries else None
        return cls(**arrays, offset=offset, detector=names[0], entry=entry)

    @classmethod
    def from_g4(
        cls, path: str | Path, pdg_id: int, split: str | ArrayLike = "train", detector: str = "hgcal"
    ) -> ShowerLibrary:
        """Import showers from the arrays a simulation job writes.

        Parameters
        ----------
        path : path
            npz with ``primary`` (n_showers, 4): energy [GeV] and unit direction; ``offset`` (n_showers + 1,);
            ``layer``, ``ix``, ``iy`` and ``edep`` [MeV] per cell. For a slab detector ``primary`` (n_showers, 3) is
            kinetic energy, entry x and y [cm], and layers count from 0.
        pdg_id : int
            Particle that started the showers: 11 electron, -211 negative pion, 22 photon, 2112 neutron.
        split : str or array_like of shape (n_showers,), int
            One split for all, or the number in `SPLITS` for each.
        detector : str, default "hgcal"
            Geometry of the showers: ``"hgcal"`` or ``"slab-base"``.

        Raises
        ------
        ValueError
            Arrays are missing, or are those of another detector.
        """
        flat = isinstance(find_detector(detector), Slab)
        with np.load(path) as f:
            missing = sorted({"primary", "offset", "layer", "ix", "iy", "edep"} - set(f.files))
            if missing:
                raise ValueError(f"{path}: arrays {', '.join(missing)} are missing; is this a file of single showers?")
            primary = f["primary"].astype(np.float32)
            n, wanted = len(primary), 3 if flat else 4
            if primary.shape != (n, wanted):
                raise ValueError(f"{path}: primary has shape {primary.shape}, expected ({n}, {wanted}) for {detector}")
            number = np.resize(split_number(split), n) if isinstance(split, str) else np.asarray(split)
            ahead = np.tile(np.array([0, 0, 1], np.float32), (n, 1))
            return cls(
                primary[:, 0].copy(), ahead if flat else primary[:, 1:4].copy(), np.full(n, pdg_id, np.int64),
                number.astype(np.uint8), f["offset"].astype(np.int64), f["layer"].astype(np.uint8) + np.uint8(flat),
                f["ix"].astype(np.int16), f["iy"].astype(np.int16), f["edep"].astype(np.float32), detector,
                primary[:, 1:3].copy() if flat else None,
            )  # fmt: skip

    def with_split(self, split: ArrayLike) -> ShowerLibrary:
        """The same showers in other splits, given as numbers in `SPLITS`, shape (n_showers,)."""
        return replace(self, split=np.asarray(split, np.uint8))

    def above(self, edep: float) -> ShowerLibrary:
        """The same showers without the cells below an energy [MeV]."""
        keep = self.edep >= edep
        offset = np.concatenate([[0], np.cumsum(keep)])[self.offset]
        return ShowerLibrary(
            self.energy, self.direction, self.pdg_id, self.split, offset,
            self.layer[keep], self.ix[keep], self.iy[keep], self.edep[keep], self.detector, self.entry,
        )  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write the library; the file appears under its name only when it is complete.

        The file is an npz that `numpy.load` opens, compressed with LZMA, of about 2 bytes per cell. Positions are
        exact. Energies are rounded to 1 keV exp(0.01 n), n = 0..4095, that is by at most 0.5 % (0.29 % r.m.s.,
        independent from cell to cell: far below the fluctuations of one cell's energy); what is below 1 keV is
        rounded up to it. Cells come back sorted by layer and by distance from the shower axis. Saving a loaded library
        changes nothing.
        """
        write_showers(self, path)

    @classmethod
    def load(cls, path: str | Path) -> ShowerLibrary:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            The file is of another kind or damaged.
        """
        return cls(**read_showers(path))

    @classmethod
    def packaged(cls, name: str) -> ShowerLibrary:
        """A packaged library, read once.

        Parameters
        ----------
        name : str
            ``"hgcal-em"``, ``"hgcal-had"``: 1,943 electrons or 2,382 negative pions of 10-600 GeV, most of them below
            100 GeV; cells below 0.05 MIP are left out. ``"slab-pi"``, ``"slab-gamma"``, ``"slab-n"``: 700 negative
            pions of 0.5-60 GeV, 700 photons of 0.2-60 GeV and 200 neutrons of 1-60 GeV; cells below 0.2 MeV are left
            out (see `cmlflow.simulation.packaging`). Simulated with Geant4 11.4, FTFP_BERT. In the hadronic showers,
            cross sections of neutrons below 20 MeV and gamma-nuclear ones are smooth stand-ins (no resonances) and
            there are no discrete nuclear levels.

        Raises
        ------
        ValueError
            Unknown name; lists the known ones.
        """
        if name not in PACKAGED:
            raise ValueError(f"packaged shower library {name!r} is not known; there are {', '.join(PACKAGED)}")
        return _packaged(name)


def split_number(split: str) -> int:
    """Number of a split in `SPLITS`; a ValueError lists them where there is no such split."""
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is not known; there are {', '.join(SPLITS)}")
    return SPLITS.index(split)


@cache
def _packaged(name: str) -> ShowerLibrary:
    with resources.as_file(resources.files("cmlflow") / "assets" / "showers" / f"{name}.npz") as path:
        return ShowerLibrary.load(path)

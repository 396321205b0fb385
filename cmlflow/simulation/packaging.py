"""The packaged shower libraries: choice of showers and of their splits."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmlflow.detectors import detector as find_detector
from cmlflow.simulation.library import SPLITS, ShowerLibrary, split_number

CUT_MIP = 0.05

BANDS = ((10.0, 30.0), (30.0, 100.0), (100.0, 200.0), (200.0, 400.0), (400.0, 600.0))
"""Energy bands [GeV] in which showers are counted."""

COMPOSITION: dict[str, tuple[int, ...]] = {
    "test": (60, 90, 110, 20, 20),
    "tuning": (50, 100, 25, 15, 0),
    "validation": (35, 65, 20, 10, 0),
    "train": (900, 1750, 60, 45, 0),
}
"""Showers per split and energy band, at most; the splits are served in this order.

Training gets what the others leave: 1,235 electrons and 1,662 pions of 10-100 GeV in the packaged libraries."""


SLAB_CUT_MEV = 0.2
SLAB_PATTERN = ("test", "tuning", "validation") + 2 * ("train",) + ("test",) + 4 * ("train",)
"""Splits of the slab's showers and of jets, ten by ten: 60 % train, 10 % validation, 10 % tuning, 20 % test."""


def assign(energy: NDArray[np.float32], composition: dict[str, tuple[int, ...]]) -> NDArray[np.int64]:
    """Split number of each shower, -1 for unused showers.

    In each band, showers are assigned in order to the first split that still lacks some. So more showers at the end
    change nothing for those before them.

    Parameters
    ----------
    energy : ndarray of shape (n_showers,), float [GeV]
    composition : dict
        Showers wanted per split and band of `BANDS`.
    """
    out = np.full(len(energy), -1, np.int64)
    for band, (low, high) in enumerate(BANDS):
        own = np.flatnonzero((energy >= low) & (energy < high))
        for split, wanted in composition.items():
            out[own[: wanted[band]]] = split_number(split)
            own = own[wanted[band] :]
    return out


def build_packaged(
    files: Sequence[str | Path],
    pdg_id: int,
    output: str | Path,
    composition: dict[str, tuple[int, ...]] = COMPOSITION,
) -> ShowerLibrary:
    """Choose showers out of simulated ones and write them as a packaged library.

    Parameters
    ----------
    files : sequence of path
        Files of single showers (see `ShowerLibrary.from_g4`), in an order that stays the same: later ones may be
        added, and no shower changes its split by that.
    pdg_id : int
        Particle that started the showers.
    output : path
        File to write.
    composition : dict
        Showers wanted per split and band of `BANDS`.

    Returns
    -------
    ShowerLibrary
        What was written.

    Notes
    -----
    Cells below 0.05 MIP are left out: 4 % of the cells of pions of 10-100 GeV, 0.6 % of those of electrons, 10^-6 of
    the energy. In 150 events of five such showers each (366,000 and 305,000 hits above 0.5 MIP) that lost no hit and
    changed no label. The rounding of energies (see `ShowerLibrary.save`) lets 2 hits in 10,000 pass the threshold
    that had been just below it.
    """
    d = find_detector("hgcal")
    library = ShowerLibrary.concatenate([ShowerLibrary.from_g4(f, pdg_id) for f in files])
    split = assign(library.energy, composition)
    chosen = np.flatnonzero(split >= 0)
    library = library.take(chosen).above(CUT_MIP * d.mip_mev).with_split(split[chosen])
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    library.save(output)
    return library


def build_slab(files: Sequence[str | Path], pdg_id: int, output: str | Path) -> ShowerLibrary:
    """Write simulated showers of the slab as a packaged library.

    Parameters
    ----------
    files : sequence of path
        Files of single showers: arrays (see `ShowerLibrary.from_g4`) or libraries of ``"slab-base"``, in an order that
        stays the same: showers are handed out to the splits ten by ten (`SLAB_PATTERN`), so later files may be added
        and no shower changes its split by that.
    pdg_id : int
        Particle that started the showers: -211, 22 or 2112.
    output : path
        File to write.

    Returns
    -------
    ShowerLibrary
        What was written.

    Raises
    ------
    ValueError
        A file holds showers of another particle or detector.

    Notes
    -----
    Cells below 0.2 MeV are left out, 40 times less than the smallest noise of a cell: 52 % of the cells of pions and
    0.5 % of their energy, 17 % and 0.07 % for photons, 53 % and 0.5 % for neutrons.
    """
    several = []
    for f in files:
        with np.load(f) as arrays:
            single = "primary" in arrays.files
        library = ShowerLibrary.from_g4(f, pdg_id, detector="slab-base") if single else ShowerLibrary.load(f)
        if set(library.pdg_id.tolist()) - {pdg_id} or library.detector != "slab-base":
            raise ValueError(f"{f}: showers of {library.detector} by other particles than {pdg_id} of slab-base")
        several.append(library)
    library = ShowerLibrary.concatenate(several)
    split = np.resize([split_number(s) for s in SLAB_PATTERN], len(library))
    library = library.above(SLAB_CUT_MEV).with_split(split)
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    library.save(output)
    return library


def main() -> None:
    """Write one packaged library from the command line."""
    parser = argparse.ArgumentParser(description="Choose simulated showers and write them as a packaged library.")
    parser.add_argument("pdg_id", type=int, help="particle that started the showers: 11, -211; slab: -211, 22, 2112")
    parser.add_argument("output", type=Path, help="file to write")
    parser.add_argument("files", type=Path, nargs="+", help="files of single showers, in a fixed order")
    parser.add_argument("--slab", action="store_true", help="showers of the slab detector")
    args = parser.parse_args()
    build = build_slab if args.slab else build_packaged
    library = build(args.files, args.pdg_id, args.output)
    size = args.output.stat().st_size
    print(f"{args.output}: {size} bytes, {size / len(library.edep):.3f} per cell; {library}")
    edges = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 60.1] if args.slab else [b[0] for b in BANDS] + [600.1]
    for k, name in enumerate(SPLITS):
        print(f"{name:>11}", *np.histogram(library.energy[library.split == k], edges)[0])


if __name__ == "__main__":
    main()

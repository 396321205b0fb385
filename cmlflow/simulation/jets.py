"""Jets at the level of particles: a packaged sample, and new ones from Pythia 8 and FastJet.

``pip install "cmlflow[jets]"`` for new ones; ``python -m cmlflow.simulation.jets 3000 jets.npz`` makes them.
"""

from __future__ import annotations

import argparse
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.io.files import atomically
from cmlflow.particles import MASS, masses
from cmlflow.simulation.decays import unit_vector
from cmlflow.simulation.library import SPLITS, split_number
from cmlflow.simulation.packaging import SLAB_PATTERN
from cmlflow.simulation.slab import Primaries

RADIUS = 0.4
"""Radius parameter of the anti-kt algorithm."""

LEAST_KINETIC = 0.5
"""Kinetic energy [GeV] below which constituents are left out: most would not reach a calorimeter behind a magnet."""


@dataclass(frozen=True, eq=False)
class Jets:
    """Jets as flat arrays; jet i has the particles ``offset[i]:offset[i + 1]``.

    Attributes
    ----------
    pdg_id : ndarray of shape (n_particles,), int64
    momentum : ndarray of shape (n_particles, 3), float32 [GeV]
        In a frame in which the jet flies along the z axis: boosted along the beams until it is perpendicular to them,
        then turned. An angle to the axis is the distance in rapidity and azimuth, as long as it is small.
    offset : ndarray of shape (n_jets + 1,), int64
    split : ndarray of shape (n_jets,), uint8
        Number in `SPLITS`.
    """

    pdg_id: NDArray[np.int64]
    momentum: NDArray[np.float32]
    offset: NDArray[np.int64]
    split: NDArray[np.uint8]

    def __post_init__(self) -> None:
        n, total = len(self.split), len(self.pdg_id)
        if (
            len(self.offset) != n + 1
            or self.momentum.shape != (total, 3)
            or self.offset[[0, -1]].tolist() != [0, total]
        ):
            raise ValueError(
                f"jets: {n} splits, {len(self.offset)} offsets, {total} codes and momenta of shape "
                f"{self.momentum.shape} do not fit each other"
            )

    def __len__(self) -> int:
        return len(self.split)

    def __repr__(self) -> str:
        counts = ", ".join(f"{int((self.split == k).sum())} {name}" for k, name in enumerate(SPLITS))
        return f"<Jets: {len(self)} jets ({counts}), {len(self.pdg_id)} particles>"

    def find(self, split: str, n_particles: tuple[int, int]) -> NDArray[np.int64]:
        """Numbers of a split's jets with so many particles, both ends included."""
        count = np.diff(self.offset)
        ok = (self.split == split_number(split)) & (count >= n_particles[0]) & (count <= n_particles[1])
        return np.flatnonzero(ok)

    def save(self, path: str | Path) -> None:
        """Write an npz; it appears under its name only when it is complete."""
        arrays: dict[str, NDArray[Any]] = {
            "pdg_id": self.pdg_id.astype(np.int16),
            "momentum": self.momentum.astype(np.float32),
            "offset": self.offset.astype(np.int64),
            "split": self.split.astype(np.uint8),
        }
        with atomically(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_LZMA) as archive:
            for name, array in arrays.items():
                entry = zipfile.ZipInfo(f"{name}.npy")  # fixed time stamp: same jets, same bytes
                entry.compress_type = zipfile.ZIP_LZMA
                with archive.open(entry, "w", force_zip64=True) as f:
                    np.lib.format.write_array(f, array, allow_pickle=False)

    @classmethod
    def load(cls, path: str | Path) -> Jets:
        """Read what `save` wrote; a ValueError names a file of another kind."""
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as f:
                return cls(f["pdg_id"].astype(np.int64), f["momentum"], f["offset"], f["split"])
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except Exception as e:
            raise ValueError(f"{path}: not a file of jets, or damaged ({e})") from e

    @classmethod
    def packaged(cls) -> Jets:
        """The packaged jets, read once; see `generate_jets` for how they were made."""
        return _packaged()


@dataclass(frozen=True)
class JetGun:
    """One jet from the origin, uniform in solid angle within a cone around the axis, turned about its own axis.

    Attributes
    ----------
    n_particles : (int, int)
        Fewest and most particles of a jet; the jets with so many are equally likely.
    cone : float [degree]
        Half-angle of the cone that the jets' axes lie in.
    jets : Jets or None
        Where jets come from; the packaged ones by default.
    """

    n_particles: tuple[int, int] = (5, 15)
    cone: float = 5.0
    jets: Jets | None = None

    def draw(self, rng: np.random.Generator, split: str, n_particles: int | None) -> Primaries:
        """The particles of a jet of a split, with `n_particles` of them if given.

        Raises
        ------
        ValueError
            The split has no such jet.
        """
        jets = Jets.packaged() if self.jets is None else self.jets
        wanted = self.n_particles if n_particles is None else (n_particles, n_particles)
        found = jets.find(split, wanted)
        if not len(found):
            raise ValueError(f"there is no {split} jet with {wanted[0]} to {wanted[1]} particles")
        i = int(found[rng.integers(len(found))])
        own = slice(jets.offset[i], jets.offset[i + 1])
        axis = unit_vector(rng.uniform(np.cos(np.radians(self.cone)), 1.0), rng.uniform(0.0, 2 * np.pi))
        turned = jets.momentum[own].astype(np.float64) @ _turn(rng.uniform(0.0, 2 * np.pi)).T @ towards(axis).T
        energy = np.sqrt((turned**2).sum(axis=1) + masses(jets.pdg_id[own]) ** 2)
        return Primaries(jets.pdg_id[own], np.column_stack([turned, energy]), np.zeros(3))


def generate_jets(
    n_jets: int, seed: int = 1, pt_range: tuple[float, float] = (20.0, 60.0), max_eta: float = 0.8
) -> Jets:
    """New jets of proton-proton collisions at 13 TeV: Pythia 8, all hard QCD processes, default tune.

    Stable particles except neutrinos and muons, without a magnetic field, are clustered with the anti-kt algorithm,
    R = 0.4. The spectrum of the hard process is flattened (weight pT^4 in generation, not undone). Constituents below
    0.5 GeV of kinetic energy are left out. Photons come from decays of neutral pions and others, which Pythia makes; so
    do the products of short K and of hyperons. Jets are distributed over the splits, ten by ten, in the pattern of the
    slab's showers.

    Parameters
    ----------
    n_jets : int
    seed : int, default 1
        Between 1 and 900,000,000.
    pt_range : (float, float), default (20, 60) [GeV]
        Transverse momentum of the jets.
    max_eta : float, default 0.8
        Largest absolute pseudorapidity of the jets.

    Returns
    -------
    Jets

    Raises
    ------
    ImportError
        Where Pythia or FastJet is not installed.
    ValueError
        For a seed out of range.

    References
    ----------
    C. Bierlich et al., A comprehensive guide to the physics and usage of PYTHIA 8.3, SciPost Phys. Codebases 8 (2022).
    M. Cacciari, G. P. Salam, G. Soyez, FastJet user manual, Eur. Phys. J. C 72 (2012) 1896.
    """
    if not 1 <= seed <= 900_000_000:
        raise ValueError(f"seed is {seed}, expected 1 to 900000000")
    try:
        import fastjet
        import pythia8mc
    except ImportError as e:
        raise ImportError('new jets need Pythia 8 and FastJet: pip install "cmlflow[jets]"') from e
    pythia = pythia8mc.Pythia("", False)
    for line in (
        "Print:quiet = on",
        "Random:setSeed = on",
        f"Random:seed = {seed}",
        "Beams:eCM = 13000",
        "HardQCD:all = on",
        f"PhaseSpace:pTHatMin = {0.75 * pt_range[0]}",
        "PhaseSpace:bias2Selection = on",
        "PhaseSpace:bias2SelectionPow = 4",
        f"PhaseSpace:bias2SelectionRef = {pt_range[0]}",
    ):
        pythia.readString(line)
    if not pythia.init():
        raise RuntimeError("Pythia could not be started")
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    codes: list[NDArray[np.int64]] = []
    momenta: list[NDArray[np.float32]] = []
    while len(codes) < n_jets:
        if not pythia.next():
            continue
        pdg_id, p = _stable(pythia.event)
        inputs = [fastjet.PseudoJet(*(float(v) for v in row)) for row in p]
        for k, particle in enumerate(inputs):
            particle.set_user_index(k)
        found = fastjet.ClusterSequence(inputs, definition)
        for jet in fastjet.sorted_by_pt(found.inclusive_jets(pt_range[0])):
            who = np.array([c.user_index() for c in jet.constituents()])
            if abs(jet.eta()) > max_eta or jet.pt() > pt_range[1] or len(codes) == n_jets:
                continue
            along = upright(p[who], jet.rap(), jet.phi())
            keep = np.sqrt((along**2).sum(axis=1) + masses(pdg_id[who]) ** 2) - masses(pdg_id[who]) >= LEAST_KINETIC
            codes.append(pdg_id[who][keep])
            momenta.append(along[keep].astype(np.float32))
    split = np.resize(np.array([split_number(s) for s in SLAB_PATTERN], np.uint8), n_jets)
    offset = np.cumsum([0] + [len(c) for c in codes], dtype=np.int64)
    return Jets(
        np.concatenate([np.zeros(0, np.int64), *codes]), np.concatenate([np.zeros((0, 3), np.float32), *momenta]),
        offset, split,
    )  # fmt: skip


def upright(p: NDArray[np.float64], rapidity: float, azimuth: float) -> NDArray[np.float64]:
    """Momenta (n, 3) of a jet in the frame of `Jets`, from its px, py, pz, E (n, 4) along beams on the z axis."""
    pz = p[:, 2] * np.cosh(rapidity) - p[:, 3] * np.sinh(rapidity)
    along = p[:, 0] * np.cos(azimuth) + p[:, 1] * np.sin(azimuth)
    across = p[:, 1] * np.cos(azimuth) - p[:, 0] * np.sin(azimuth)
    return np.stack([across, pz, along], axis=1)


def towards(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation (3, 3) that turns the z axis to a unit vector with positive z, the shortest way."""
    x, y, z = axis
    f = 1.0 / (1.0 + z)
    return np.array([[1 - x * x * f, -x * y * f, x], [-x * y * f, 1 - y * y * f, y], [-x, -y, z]])


def _turn(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _stable(event: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Codes and four-momenta of the particles that a calorimeter sees."""
    final = [q for q in event if q.isFinal() and abs(q.id()) in MASS]
    pdg_id = np.array([q.id() for q in final], np.int64)
    return pdg_id, np.array([[q.px(), q.py(), q.pz(), q.e()] for q in final]).reshape(-1, 4)


@cache
def _packaged() -> Jets:
    with resources.as_file(resources.files("cmlflow") / "assets" / "jets" / "jets.npz") as path:
        return Jets.load(path)


def main() -> None:
    """Make jets from the command line."""
    parser = argparse.ArgumentParser(description="Make jets with Pythia 8 and FastJet.")
    parser.add_argument("n_jets", type=int)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pt", type=float, nargs=2, default=(20.0, 60.0), metavar=("MIN", "MAX"), help="GeV")
    args = parser.parse_args()
    try:
        jets = generate_jets(args.n_jets, args.seed, tuple(args.pt))
    except (ImportError, ValueError) as e:
        parser.exit(1, f"error: {e}\n")
    jets.save(args.output)
    print(f"{args.output}: {jets}")


if __name__ == "__main__":
    main()

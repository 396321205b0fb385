"""New shower libraries, simulated with Geant4 through geant4-pybind: ``pip install "cmlflow[geant4]"``.

The detector ``"hgcal"`` is the 50-layer sampling calorimeter of the packaged library: before the silicon of layers 1-28
come 5 mm of lead and 3 mm of copper, before that of layers 29-50 41 mm of steel; silicon of 0.3 mm, 1.6 mm of board
(plexiglass) behind it; 240 x 240 cm2 in air. Physics: FTFP_BERT with the standard electromagnetic option, neutron
tracking cut, range cut 1 mm, fluorescence off; deposits later than 500 ns and cells below 1 keV are not kept.

The detector ``"slab-base"`` are the six layers of the slab on its finest grid, each a homogeneous mixture in which all
deposits are seen: lead and liquid argon 1.2 : 4.5 by mass, 3.49 g/cm3, then iron and vinyl toluene 4.7 : 1,
6.76 g/cm3; 250 x 250 cm2, range cut 0.7 mm, cells below 10 keV are not kept.

Geant4 needs its data sets. ``python -c 'import geant4_pybind'`` in a terminal offers to fetch them, into
``GEANT4_DATA_DIR`` if that is set. Geant4's own variables (``G4LEDATA`` and so on) name folders that exist already. The
packaged library was made with a minimal folder, in which cross sections of neutrons below 20 MeV and gamma-nuclear ones
are smooth stand-ins (no resonances) and discrete nuclear levels are missing: its electron showers are those of full
Geant4, its pion showers may differ from them in their faint, wide halo.

There is one backend, because one geometry and one physics list are needed, and geant4-pybind installs as a wheel.
calzone wraps the same Geant4 with its own geometry language: it would duplicate the description of the detector and
yield the same showers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmlflow.simulation.library import SPLITS, ShowerLibrary, split_number

PARTICLES = {"e-": 11, "e+": -11, "gamma": 22, "pi-": -211, "pi+": 211, "neutron": 2112}
"""Geant4's particle names and their Particle Data Group codes."""

GEOMETRIES = ("hgcal", "slab-base")
"""Detectors that can be simulated."""

CONE = 5.0
"""Half-angle [degree] of the cone around the axis in which particles start."""

ENTRY = 15.625
"""Side [cm] of the square over which particles come into the slab."""


def simulate_showers(
    particle: str,
    n_showers: int,
    output: str | Path,
    *,
    seed: int = 0,
    energy_range: tuple[float, float] = (10.0, 100.0),
    split: str | None = None,
    detector: str = "hgcal",
    save_every: int = 25,
    progress: Callable[[int, int], None] | None = None,
) -> ShowerLibrary:
    """Simulate single showers in one of the detectors and write them as a shower library.

    Particles start at the origin, uniform in solid angle within 5 degrees of the axis, with energies log-uniform in the
    range. In the slab they enter at right angles, uniform over one cell of the coarsest layer, 15.625 cm wide. Shower i
    depends on particle, range, seed and i alone. An interrupted run continues from its last save when it is started
    again; a run that asks for more showers than the file holds adds the missing ones. On one core a shower takes about
    2 s per 100 GeV; for more cores start runs with other seeds and other outputs.

    Parameters
    ----------
    particle : {"e-", "e+", "gamma", "pi-", "pi+", "neutron"}
    n_showers : int
        Number of showers in the finished file.
    output : path
        Library to write, see `ShowerLibrary.save`; complete at any time.
    seed : int, default 0
    energy_range : (float, float), default (10, 100) [GeV]
        Kinetic energies.
    split : {"train", "validation", "tuning", "test"}, optional
        Split of all showers. By default of every 20 showers the first goes to validation, the second to tuning, the
        third and fourth to test, the rest to train.
    detector : {"hgcal", "slab-base"}
    save_every : int, default 25
        Number of showers between two saves.
    progress : callable, optional
        Called with the number of showers done and wanted.

    Returns
    -------
    ShowerLibrary

    Raises
    ------
    ImportError
        Geant4-pybind is not installed.
    ValueError
        For an unknown particle, split or detector, an impossible range, or an output with other showers in it.
    RuntimeError
        Where Geant4 fails; holds the last lines it wrote.

    Notes
    -----
    Geant4 cannot be started twice in one process, so it runs in a process of its own, and this function may be called
    repeatedly.

    References
    ----------
    S. Agostinelli et al., Geant4: a simulation toolkit, Nucl. Instrum. Meth. A 506 (2003) 250.
    """
    if particle not in PARTICLES:
        raise ValueError(f"particle {particle!r} is not known; there are {', '.join(PARTICLES)}")
    if detector not in GEOMETRIES:
        raise ValueError(f"detector {detector!r} cannot be simulated; there are {', '.join(GEOMETRIES)}")
    if not 0 < energy_range[0] < energy_range[1]:
        raise ValueError(f"energy_range is {tuple(energy_range)}, expected two rising energies above 0 GeV")
    if n_showers < 0 or seed < 0 or save_every < 1:
        raise ValueError(
            f"n_showers is {n_showers}, seed {seed}, save_every {save_every}; expected 0 or more, 0 or more, 1 or more"
        )
    split_numbers(0, split)  # fail on an unknown split before the work
    target = Path(output)
    have = ShowerLibrary.load(target) if target.exists() else None
    if have is not None:
        check_primaries(have, particle, seed, energy_range, target, detector)
        if len(have) >= n_showers:
            return have
    if find_spec("geant4_pybind") is None:
        raise ImportError('simulating showers needs Geant4: pip install "cmlflow[geant4]"')
    job = {
        "particle": particle,
        "n_showers": n_showers,
        "output": str(target),
        "seed": seed,
        "energy_range": list(energy_range),
        "split": split,
        "detector": detector,
        "save_every": save_every,
    }
    command = [sys.executable, "-m", "cmlflow.simulation.geant4_run", json.dumps(job)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        last: list[str] = []
        try:
            for line in run.stderr:
                if line.startswith("showers done:"):
                    if progress is not None:
                        progress(int(line.split(":")[1]), n_showers)
                else:
                    last = [*last[-9:], line.rstrip()]
        except BaseException:
            run.kill()
            raise
    if any("geant4_pybind" in line for line in last) and "ImportError: initialization failed" in last:
        raise RuntimeError(
            "Geant4 finds no data sets: `python -c 'import geant4_pybind'` in a terminal offers to fetch them; "
            "GEANT4_DATA_DIR names a folder that has them"
        )
    if run.returncode != 0:
        raise RuntimeError(f"Geant4 ended with code {run.returncode}: " + "\n".join(last))
    return ShowerLibrary.load(target)


def primary(seed: int, i: int, energy_range: tuple[float, float]) -> tuple[float, NDArray[np.float64], int]:
    """The particle of shower i: energy [GeV], unit vector, and the seed that Geant4 gets.

    Parameters
    ----------
    seed : int
        Seed of the run.
    i : int
    energy_range : (float, float) [GeV]
    """
    rng = np.random.default_rng([seed, i])
    energy = float(np.exp(rng.uniform(*np.log(energy_range))))
    cosine = rng.uniform(np.cos(np.radians(CONE)), 1.0)
    angle = rng.uniform(0.0, 2.0 * np.pi)
    sine = np.sqrt(1.0 - cosine**2)
    return energy, np.array([sine * np.cos(angle), sine * np.sin(angle), cosine]), int(rng.integers(1, 2**31 - 1))


def entry_point(seed: int, i: int) -> NDArray[np.float64]:
    """Entry point of the particle of shower i of a run into the slab, x and y [cm]."""
    return np.random.default_rng([seed, i, 1]).uniform(0.0, ENTRY, 2)


def split_numbers(n_showers: int, split: str | None) -> NDArray[np.uint8]:
    """Number in `SPLITS` of each shower; by default a fixed pattern of 20, see `simulate_showers`."""
    if split is not None:
        return np.full(n_showers, split_number(split), np.uint8)
    names = ["validation", "tuning", "test", "test"] + ["train"] * 16
    return np.resize(np.array([SPLITS.index(s) for s in names], np.uint8), n_showers)


def check_primaries(
    library: ShowerLibrary,
    particle: str,
    seed: int,
    energy_range: tuple[float, float],
    path: Path,
    detector: str = "hgcal",
) -> None:
    """Fail if the showers of the file do not come from this run.

    Raises
    ------
    ValueError
        Names the file and the first shower that differs.
    """
    if library.detector != detector:
        raise ValueError(f"{path}: showers of {library.detector}, not of {detector}; choose another output")
    for i in range(len(library)):
        energy, direction, _ = primary(seed, i, energy_range)
        have, wanted = library.direction[i], direction
        if library.entry is not None:
            have, wanted = library.entry[i], entry_point(seed, i)
        same = np.isclose(library.energy[i], energy, rtol=1e-6) and np.allclose(have, wanted, 1e-5)
        if not same or library.pdg_id[i] != PARTICLES[particle]:
            raise ValueError(
                f"{path}: shower {i} (pdg_id {library.pdg_id[i]}, {library.energy[i]:.4g} GeV) is not that of this "
                f"run (pdg_id {PARTICLES[particle]}, {energy:.4g} GeV); choose another output, or the particle, seed "
                "and energy range with which the file was made"
            )


def main() -> None:
    """Simulate a shower library from the command line."""
    parser = argparse.ArgumentParser(description="Simulate single showers with Geant4 and write a shower library.")
    parser.add_argument("particle", choices=PARTICLES)
    parser.add_argument("n_showers", type=int)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--energy", type=float, nargs=2, default=(10.0, 100.0), metavar=("MIN", "MAX"), help="GeV")
    parser.add_argument("--split", choices=SPLITS, help="one split for all (default: a fixed pattern of all four)")
    parser.add_argument("--detector", choices=GEOMETRIES, default="hgcal")
    args = parser.parse_args()

    def show(done: int, wanted: int) -> None:
        print(f"{args.particle}: {done} of {wanted} showers", file=sys.stderr, flush=True)

    try:
        library = simulate_showers(
            args.particle, args.n_showers, args.output,
            seed=args.seed, energy_range=tuple(args.energy), split=args.split, detector=args.detector,
            progress=show,
        )  # fmt: skip
    except (ValueError, ImportError, RuntimeError) as e:
        sys.exit(f"error: {e}")
    print(f"{args.output}: {library}")


if __name__ == "__main__":
    main()

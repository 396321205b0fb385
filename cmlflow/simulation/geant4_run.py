"""The Geant4 process behind `cmlflow.simulation.geant4`: takes a job as JSON, writes a shower library.

Needs geant4-pybind, and is imported by nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import geant4_pybind as g4
import numpy as np

from cmlflow.simulation.detector import detector
from cmlflow.simulation.geant4 import PARTICLES, primary, split_numbers
from cmlflow.simulation.library import ShowerLibrary

HALF_WIDTH = 120.0  # [cm] of the absorbers and sensors
START = 318.8  # [cm] z at which Geant4 takes the particle over, on its way from the origin
LATEST = 500.0  # [ns] later deposits are not seen
LEAST = 1e-3  # [MeV] cells with less are not kept
RANGE_CUT = 1.0  # [mm]

FRONT = (("G4_Pb", 0.50), ("G4_Cu", 0.30))  # absorbers [cm] of layers 1-28: 1.1 radiation lengths
BACK = (("G4_STAINLESS-STEEL", 4.10),)  # of layers 29-50: 0.24 interaction lengths
SILICON = 0.03
BOARD = 0.16

Cells = dict[tuple[int, int, int], float]


class Calorimeter(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
    """The 50 layers, each from its front face: absorbers, silicon, board."""

    def __init__(self, cells: Cells) -> None:
        super().__init__()
        self.cells = cells
        self.kept: list[Any] = []  # Geant4 does not own what is made here
        self.sensors: list[Any] = []

    def Construct(self) -> Any:  # noqa: N802
        material = g4.G4NistManager.Instance().FindOrBuildMaterial
        box = g4.G4Box("world", 1.5 * g4.m, 1.5 * g4.m, 8 * g4.m)
        world = g4.G4LogicalVolume(box, material("G4_AIR"), "world")
        placed = g4.G4PVPlacement(None, g4.G4ThreeVector(), world, "world", None, False, 0)
        self.kept += [box, world, placed]

        def slab(name: str, thickness: float, z: float, number: int) -> Any:
            solid = g4.G4Box(name, HALF_WIDTH * g4.cm, HALF_WIDTH * g4.cm, thickness / 2 * g4.cm)
            volume = g4.G4LogicalVolume(solid, material(name), name)
            at = g4.G4ThreeVector(0, 0, (z + thickness / 2) * g4.cm)
            self.kept += [solid, volume, g4.G4PVPlacement(None, at, volume, name, world, False, number)]
            return volume

        for number, face in enumerate(detector("hgcal").z):
            absorbers = FRONT if number < 28 else BACK
            z = face - sum(thickness for _, thickness in absorbers)
            for name, thickness in absorbers:
                slab(name, thickness, z, 0)
                z += thickness
            self.sensors.append(slab("G4_Si", SILICON, face, number))
            slab("G4_PLEXIGLASS", BOARD, face + SILICON, 0)
        return placed

    def ConstructSDandField(self) -> None:  # noqa: N802
        self.sensor = Sensor(self.cells)
        g4.G4SDManager.GetSDMpointer().AddNewDetector(self.sensor)
        for volume in self.sensors:
            volume.SetSensitiveDetector(self.sensor)


class Sensor(g4.G4VSensitiveDetector):  # type: ignore[misc]
    """Sums the energy deposited in each cell of 1 cm [MeV]."""

    def __init__(self, cells: Cells) -> None:
        super().__init__("silicon")
        self.cells = cells

    def ProcessHits(self, step: Any, _history: Any) -> bool:  # noqa: N802
        energy = step.GetTotalEnergyDeposit()
        point = step.GetPreStepPoint()
        if energy > 0.0 and point.GetGlobalTime() <= LATEST:
            at = point.GetPosition()
            cell = (point.GetTouchable().GetCopyNumber() + 1, round(at.x * 0.1), round(at.y * 0.1))
            self.cells[cell] = self.cells.get(cell, 0.0) + energy
        return True


class Gun(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
    """Shoots the particle of the next shower, with a random engine seeded for it."""

    def __init__(self, job: dict[str, Any], first: int) -> None:
        super().__init__()
        self.job, self.next = job, first
        self.gun = g4.G4ParticleGun(1)
        self.gun.SetParticleDefinition(g4.G4ParticleTable.GetParticleTable().FindParticle(job["particle"]))

    def GeneratePrimaries(self, event: Any) -> None:  # noqa: N802
        energy, direction, seed = primary(self.job["seed"], self.next, tuple(self.job["energy_range"]))
        g4.G4Random.setTheSeed(seed)
        self.next += 1
        x, y, z = (float(v) for v in direction)
        self.gun.SetParticleEnergy(energy * g4.GeV)
        self.gun.SetParticlePosition(g4.G4ThreeVector(x / z * START * g4.cm, y / z * START * g4.cm, START * g4.cm))
        self.gun.SetParticleMomentumDirection(g4.G4ThreeVector(x, y, z))
        self.gun.GeneratePrimaryVertex(event)


class Collect(g4.G4UserEventAction):  # type: ignore[misc]
    """Takes over the cells of each finished shower."""

    def __init__(self, cells: Cells) -> None:
        super().__init__()
        self.cells = cells
        self.showers: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []

    def EndOfEventAction(self, _event: Any) -> None:  # noqa: N802
        cell = np.array(list(self.cells), np.int64).reshape(-1, 3)
        edep = np.array(list(self.cells.values()), np.float32)
        self.cells.clear()
        self.showers.append((cell[edep > LEAST], edep[edep > LEAST]))


class Physics(g4.G4VModularPhysicsList):  # type: ignore[misc]
    """FTFP_BERT with the neutron tracking cut, without the photon- and lepton-nuclear processes."""

    def __init__(self) -> None:
        super().__init__()
        self.SetVerboseLevel(0)
        self.parts = [
            g4.G4EmStandardPhysics(),
            g4.G4DecayPhysics(),
            g4.G4HadronElasticPhysics(),
            g4.G4HadronPhysicsFTFP_BERT(),
            g4.G4StoppingPhysics(),
            g4.G4IonPhysics(),
            g4.G4NeutronTrackingCut(),
        ]
        for part in self.parts:
            part.SetVerboseLevel(0)
            self.RegisterPhysics(part)
        self.SetDefaultCutValue(RANGE_CUT * g4.mm)


class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
    """Hands gun and collector to Geant4."""

    def __init__(self, job: dict[str, Any], first: int, cells: Cells) -> None:
        super().__init__()
        self.job, self.first, self.cells = job, first, cells

    def Build(self) -> None:  # noqa: N802
        self.gun = Gun(self.job, self.first)
        self.SetUserAction(self.gun)  # Geant4 wants the gun in place before other actions are made
        self.collect = Collect(self.cells)
        self.SetUserAction(self.collect)


def as_library(job: dict[str, Any], first: int, showers: list[Any]) -> ShowerLibrary:
    """The showers number ``first`` and following of a job as a library."""
    primaries = [primary(job["seed"], first + i, tuple(job["energy_range"])) for i in range(len(showers))]
    cell = np.concatenate([c for c, _ in showers])
    return ShowerLibrary(
        energy=np.array([p[0] for p in primaries], np.float32),
        direction=np.array([p[1] for p in primaries], np.float32),
        pdg_id=np.full(len(showers), PARTICLES[job["particle"]], np.int64),
        split=split_numbers(first + len(showers), job["split"])[first:],
        offset=np.cumsum([0] + [len(e) for _, e in showers], dtype=np.int64),
        layer=cell[:, 0].astype(np.uint8),
        ix=cell[:, 1].astype(np.int16),
        iy=cell[:, 2].astype(np.int16),
        edep=np.concatenate([e for _, e in showers]),
    )


def run(job: dict[str, Any]) -> None:
    """Simulate what the output does not hold yet, saving it in between."""
    output = Path(job["output"])
    library = ShowerLibrary.load(output) if output.exists() else None
    done = 0 if library is None else len(library)
    cells: Cells = {}
    manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.Serial)
    calorimeter, physics, actions = Calorimeter(cells), Physics(), Actions(job, done, cells)
    for part in (calorimeter, physics, actions):
        manager.SetUserInitialization(part)
    command = g4.G4UImanager.GetUIpointer().ApplyCommand
    for line in ("/process/em/verbose 0", "/process/had/verbose 0", "/run/verbose 0", "/process/em/fluo false"):
        command(line)
    manager.Initialize()
    showers = actions.collect.showers
    while done < job["n_showers"]:
        first = done
        manager.BeamOn(min(job["save_every"], job["n_showers"] - done))
        if not showers:
            raise RuntimeError("Geant4 gave back no shower")
        new = as_library(job, first, showers)
        showers.clear()
        library = new if library is None else ShowerLibrary.concatenate([library, new])
        library.save(output)
        done = len(library)
        print(f"showers done:{done}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))

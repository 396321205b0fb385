"""The Geant4 process behind `cmlflow.simulation.geant4`: takes a job as JSON, writes a shower library.

Needs geant4-pybind; nothing imports it.
"""

from __future__ import annotations

import json
import sys
from math import floor
from pathlib import Path
from typing import Any

import geant4_pybind as g4
import numpy as np

from cmlflow.detectors import detector, slab_detector
from cmlflow.simulation.geant4 import PARTICLES, entry_point, primary, split_numbers
from cmlflow.simulation.library import ShowerLibrary

HALF_WIDTH = 120.0  # [cm] of the absorbers and sensors
START = 318.8  # [cm] z at which Geant4 takes the particle over, on its way from the origin
LATEST = 500.0  # [ns] later deposits are not seen
LEAST = {"hgcal": 1e-3, "slab-base": 1e-2}  # [MeV] cells with less are not kept
RANGE_CUT = {"hgcal": 1.0, "slab-base": 0.7}  # [mm]

FRONT = (("G4_Pb", 0.50), ("G4_Cu", 0.30))  # absorbers [cm] of layers 1-28: 1.1 radiation lengths
BACK = (("G4_STAINLESS-STEEL", 4.10),)  # of layers 29-50: 0.24 interaction lengths
SILICON = 0.03
BOARD = 0.16

SLAB_HALF_WIDTH = 125.0  # [cm] twice what is read out, for showers at the edge
ECAL = ("ecal", 3.49, {"G4_Pb": 1.2, "G4_lAr": 4.5})  # density [g/cm3], parts by mass: X0 = 3.90 cm
HCAL = ("hcal", 6.76, {"G4_Fe": 4.7, "G4_PLASTIC_SC_VINYLTOLUENE": 1.0})  # interaction length 17.2 cm

Cells = dict[tuple[int, int, int], float]


class Calorimeter(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
    """One of the detectors: the 50 layers, each from its front face absorbers, silicon, board; or the slab's six."""

    def __init__(self, name: str, cells: Cells) -> None:
        super().__init__()
        self.name, self.cells = name, cells
        self.kept: list[Any] = []  # Geant4 does not own what is made here
        self.sensors: list[Any] = []

    def Construct(self) -> Any:  # noqa: N802
        box = g4.G4Box("world", 1.5 * g4.m, 1.5 * g4.m, 8 * g4.m)
        air = g4.G4NistManager.Instance().FindOrBuildMaterial("G4_AIR")
        self.world = g4.G4LogicalVolume(box, air, "world")
        placed = g4.G4PVPlacement(None, g4.G4ThreeVector(), self.world, "world", None, False, 0)
        self.kept += [box, self.world, placed]
        if self.name == "hgcal":
            self._layers()
        else:
            self._slab()
        return placed

    def _plate(self, material: Any, half_width: float, thickness: float, z: float, number: int) -> Any:
        """A plate across the axis from z [cm] on."""
        name = str(material.GetName())
        solid = g4.G4Box(name, half_width * g4.cm, half_width * g4.cm, thickness / 2 * g4.cm)
        volume = g4.G4LogicalVolume(solid, material, name)
        at = g4.G4ThreeVector(0, 0, (z + thickness / 2) * g4.cm)
        self.kept += [solid, volume, g4.G4PVPlacement(None, at, volume, name, self.world, False, number)]
        return volume

    def _slab(self) -> None:
        geometry = slab_detector(self.name)
        mixtures = [self._mixture(*m) for m in (ECAL, HCAL)]
        for i, (front, thickness) in enumerate(zip(geometry.front, geometry.thickness, strict=True)):
            material = mixtures[0] if i < 3 else mixtures[1]
            self.sensors.append(self._plate(material, SLAB_HALF_WIDTH, float(thickness), float(front), i))

    def _mixture(self, name: str, density: float, parts: dict[str, float]) -> Any:
        mixture = g4.G4Material(name, density * g4.g / g4.cm3, len(parts))
        for part, mass in parts.items():
            material = g4.G4NistManager.Instance().FindOrBuildMaterial(part)
            mixture.AddMaterial(material, mass / sum(parts.values()))
        self.kept.append(mixture)
        return mixture

    def _layers(self) -> None:
        find = g4.G4NistManager.Instance().FindOrBuildMaterial

        def slab(name: str, thickness: float, z: float, number: int) -> Any:
            return self._plate(find(name), HALF_WIDTH, thickness, z, number)

        for number, face in enumerate(detector("hgcal").z):
            absorbers = FRONT if number < 28 else BACK
            z = face - sum(thickness for _, thickness in absorbers)
            for name, thickness in absorbers:
                slab(name, thickness, z, 0)
                z += thickness
            self.sensors.append(slab("G4_Si", SILICON, face, number))
            slab("G4_PLEXIGLASS", BOARD, face + SILICON, 0)

    def ConstructSDandField(self) -> None:  # noqa: N802
        self.sensor = Sensor(self.cells, self.name)
        g4.G4SDManager.GetSDMpointer().AddNewDetector(self.sensor)
        for volume in self.sensors:
            volume.SetSensitiveDetector(self.sensor)


class Sensor(g4.G4VSensitiveDetector):  # type: ignore[misc]
    """Sums the energy deposited in each cell [MeV]: 1 cm around a whole number, or from one base edge to the next."""

    def __init__(self, cells: Cells, name: str) -> None:
        super().__init__("sensor")
        self.cells = cells
        self.base = None if name == "hgcal" else 10 * detector(name).cell_size  # [mm]

    def ProcessHits(self, step: Any, _history: Any) -> bool:  # noqa: N802
        energy = step.GetTotalEnergyDeposit()
        point = step.GetPreStepPoint()
        if energy > 0.0 and point.GetGlobalTime() <= LATEST:
            at, layer = point.GetPosition(), point.GetTouchable().GetCopyNumber() + 1
            if self.base is None:
                cell = (layer, round(at.x * 0.1), round(at.y * 0.1))
            else:
                end = step.GetPostStepPoint().GetPosition()
                cell = (layer, floor((at.x + end.x) / 2 / self.base), floor((at.y + end.y) / 2 / self.base))
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
        x, y, z = (float(v) for v in direction)
        at = (x / z * START, y / z * START, START)
        if self.job["detector"] != "hgcal":
            entry = entry_point(self.job["seed"], self.next)
            x, y, z = 0.0, 0.0, 1.0
            at = (float(entry[0]), float(entry[1]), float(slab_detector(self.job["detector"]).front[0]) - 1.0)
        self.next += 1
        self.gun.SetParticleEnergy(energy * g4.GeV)
        self.gun.SetParticlePosition(g4.G4ThreeVector(*(v * g4.cm for v in at)))
        self.gun.SetParticleMomentumDirection(g4.G4ThreeVector(x, y, z))
        self.gun.GeneratePrimaryVertex(event)


class Collect(g4.G4UserEventAction):  # type: ignore[misc]
    """Takes over the cells of each finished shower."""

    def __init__(self, cells: Cells, least: float) -> None:
        super().__init__()
        self.cells, self.least = cells, least
        self.showers: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []

    def EndOfEventAction(self, _event: Any) -> None:  # noqa: N802
        cell = np.array(list(self.cells), np.int64).reshape(-1, 3)
        edep = np.array(list(self.cells.values()), np.float32)
        self.cells.clear()
        self.showers.append((cell[edep > self.least], edep[edep > self.least]))


class Physics(g4.G4VModularPhysicsList):  # type: ignore[misc]
    """FTFP_BERT with the neutron tracking cut, without the photon- and lepton-nuclear processes."""

    def __init__(self, range_cut: float) -> None:
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
        self.SetDefaultCutValue(range_cut * g4.mm)


class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
    """Hands gun and collector to Geant4."""

    def __init__(self, job: dict[str, Any], first: int, cells: Cells) -> None:
        super().__init__()
        self.job, self.first, self.cells = job, first, cells

    def Build(self) -> None:  # noqa: N802
        self.gun = Gun(self.job, self.first)
        self.SetUserAction(self.gun)  # Geant4 wants the gun in place before other actions are made
        self.collect = Collect(self.cells, LEAST[self.job["detector"]])
        self.SetUserAction(self.collect)


def as_library(job: dict[str, Any], first: int, showers: list[Any]) -> ShowerLibrary:
    """The showers number ``first`` and following of a job as a library."""
    primaries = [primary(job["seed"], first + i, tuple(job["energy_range"])) for i in range(len(showers))]
    cell = np.concatenate([c for c, _ in showers])
    direction = np.array([p[1] for p in primaries], np.float32)
    entry = None
    if job["detector"] != "hgcal":
        direction[:] = 0, 0, 1
        entry = np.array([entry_point(job["seed"], first + i) for i in range(len(showers))], np.float32)
    return ShowerLibrary(
        energy=np.array([p[0] for p in primaries], np.float32),
        direction=direction,
        pdg_id=np.full(len(showers), PARTICLES[job["particle"]], np.int64),
        split=split_numbers(first + len(showers), job["split"])[first:],
        offset=np.cumsum([0] + [len(e) for _, e in showers], dtype=np.int64),
        layer=cell[:, 0].astype(np.uint8),
        ix=cell[:, 1].astype(np.int16),
        iy=cell[:, 2].astype(np.int16),
        edep=np.concatenate([e for _, e in showers]),
        detector=job["detector"],
        entry=entry,
    )


def run(job: dict[str, Any]) -> None:
    """Simulate the missing showers of the output, saving in between."""
    output = Path(job["output"])
    library = ShowerLibrary.load(output) if output.exists() else None
    done = 0 if library is None else len(library)
    cells: Cells = {}
    manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.Serial)
    physics = Physics(RANGE_CUT[job["detector"]])
    calorimeter, actions = Calorimeter(job["detector"], cells), Actions(job, done, cells)
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

"""Simulated events: detector geometries, single showers, and samples of events laid together from them.

Needs numpy alone. The optional Geant4 backend is `cmlflow.simulation.geant4`.
"""

from cmlflow.simulation.detector import DETECTORS, Detector, detector
from cmlflow.simulation.guns import KINDS, SAMPLES, Sample, SimulatedEvents, sample, simulate
from cmlflow.simulation.library import PACKAGED, SPLITS, Shower, ShowerLibrary
from cmlflow.simulation.overlay import N_SYMMETRIES, overlay, reflect

__all__ = [
    "DETECTORS",
    "KINDS",
    "N_SYMMETRIES",
    "PACKAGED",
    "SAMPLES",
    "SPLITS",
    "Detector",
    "Sample",
    "Shower",
    "ShowerLibrary",
    "SimulatedEvents",
    "detector",
    "overlay",
    "reflect",
    "sample",
    "simulate",
]

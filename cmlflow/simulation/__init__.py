"""Simulated events: detector geometries, single showers, and samples of events made of them.

Needs only numpy. The optional Geant4 backend is `cmlflow.simulation.geant4`.
"""

from cmlflow.detectors import DETECTORS, Detector, Slab, detector, slab_detector
from cmlflow.simulation.flow import SLAB_SAMPLES, PionGun, RhoGun, SlabSample
from cmlflow.simulation.guns import KINDS, SAMPLES, Sample, SimulatedEvents, sample, simulate
from cmlflow.simulation.jets import JetGun, Jets
from cmlflow.simulation.library import PACKAGED, SPLITS, Shower, ShowerLibrary
from cmlflow.simulation.overlay import N_SYMMETRIES, overlay, reflect
from cmlflow.simulation.selection import Selection, select_cells
from cmlflow.simulation.slab import Primaries, overlay_slab

__all__ = [
    "DETECTORS",
    "KINDS",
    "N_SYMMETRIES",
    "PACKAGED",
    "SAMPLES",
    "SLAB_SAMPLES",
    "SPLITS",
    "Detector",
    "JetGun",
    "Jets",
    "PionGun",
    "Primaries",
    "RhoGun",
    "Sample",
    "Selection",
    "Shower",
    "ShowerLibrary",
    "SimulatedEvents",
    "Slab",
    "SlabSample",
    "detector",
    "overlay",
    "overlay_slab",
    "reflect",
    "sample",
    "select_cells",
    "simulate",
    "slab_detector",
]

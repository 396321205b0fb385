"""Refiners: from the clusters of a readout to better ones, and to shares of hits; `Refiner` is their interface."""

from cmlflow.refiners.base import Refiner
from cmlflow.refiners.profile import Profile
from cmlflow.refiners.stages import Stages

__all__ = ["Profile", "Refiner", "Stages"]

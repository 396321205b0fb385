"""Small events, and a network that trains on them in milliseconds."""

import numpy as np
import pytest
import torch

from cmlflow import Event
from cmlflow.methods import build_network


def blobs(n_events, seed=0, n_hits=30, n_particles=2):
    """Events of a few gaussian clouds of hits, with a few hits of unknown particle."""
    rng = np.random.default_rng(seed)
    events = []
    for number in range(n_events):
        ids = np.arange(n_hits + number % 3) % n_particles
        centre = np.append(rng.uniform(-15, 15, (n_particles, 2)), np.full((n_particles, 1), 340.0), 1)
        position = centre[ids] + rng.normal(size=(len(ids), 3)) * [1, 1, 10]
        ids[rng.random(len(ids)) < 0.05] = -1
        layer = np.clip((position[:, 2] - 319.8) / 2.5, 1, 50).astype(int)
        events.append(Event(position, rng.exponential(5, len(ids)) + 0.5, layer, ids, number=number))
    return events


@pytest.fixture(scope="session")
def make_events():
    return blobs


@pytest.fixture
def make_network():
    def make(head="supcon", dropout=0.01, seed=0):
        torch.manual_seed(seed)
        return build_network(head, dim=4, k=4, scaling="hgcal", dropout=dropout)

    return make

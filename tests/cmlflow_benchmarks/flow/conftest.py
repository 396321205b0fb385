"""A model of particle flow that is trained in seconds and reaches little."""

import pytest

import cmlflow
from cmlflow import MetricClusterer, NetworkConfig, ParticleFlow
from cmlflow.association import Associator


@pytest.fixture(scope="package")
def model(tmp_path_factory):
    events = list(cmlflow.simulate("rho", n_events=40, seed=3))
    clusterer = MetricClusterer(tracks=True, readout="ward", network=NetworkConfig(k=4), max_epochs=1, batch_size=8)
    clusterer.fit(events[:8])
    folder = tmp_path_factory.mktemp("flow") / "tiny"
    ParticleFlow(clusterer, Associator(least=0.1)).fit(events).save(folder)
    return folder

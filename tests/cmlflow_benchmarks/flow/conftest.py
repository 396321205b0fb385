"""A model of particle flow that is trained in seconds and reaches little."""

import pytest

import cmlflow
from cmlflow import MetricClusterer, NetworkConfig, ParticleFlow, TrainingConfig
from cmlflow.association import Associator
from cmlflow.baselines.learned import PointNetConfig, PointNetRegressor


@pytest.fixture(scope="package")
def model(tmp_path_factory):
    events = list(cmlflow.simulate("rho", n_events=40, seed=3))
    clusterer = MetricClusterer(tracks=True, readout="ward", network=NetworkConfig(k=4), max_epochs=1, batch_size=8)
    clusterer.fit(events[:8])
    folder = tmp_path_factory.mktemp("flow") / "tiny"
    ParticleFlow(clusterer, Associator(least=0.1)).fit(events).save(folder)
    return folder


@pytest.fixture(scope="package")
def cells(tmp_path_factory):
    """A network of cells, as good."""
    events = list(cmlflow.simulate("rho", n_events=12, seed=3))
    folder = tmp_path_factory.mktemp("cells") / "tiny"
    training = TrainingConfig(max_epochs=1, batch_size=8)
    PointNetRegressor(PointNetConfig(width=0.1), training).fit(events).calibrate(events).save(folder)
    return folder

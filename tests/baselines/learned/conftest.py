"""Small trained networks of cells."""

from dataclasses import replace

import pytest

from cmlflow import simulate
from cmlflow.baselines.learned import NeutralConfig, NeutralRegressor, PointNetConfig, PointNetRegressor
from cmlflow.baselines.learned.neutral import USUAL as NEUTRAL
from cmlflow.baselines.learned.pointnet import USUAL


@pytest.fixture(scope="session")
def rhos():
    return list(simulate("rho", 24, seed=3))


@pytest.fixture(scope="session")
def pointnet(rhos):
    model = PointNetRegressor(PointNetConfig(width=0.1), replace(USUAL, max_epochs=5, batch_size=4))
    return model.fit(rhos[:20], rhos[20:]).calibrate(rhos[12:])


@pytest.fixture(scope="session")
def graph(rhos):
    model = NeutralRegressor(NeutralConfig("graph"), replace(NEUTRAL, max_epochs=2, batch_size=4, warmup_steps=0))
    return model.fit(rhos[:20], rhos[20:]).calibrate(rhos[12:])


@pytest.fixture(scope="session")
def convnet(rhos):
    config = NeutralConfig("convnet", "fraction", channels=(4, 64))
    model = NeutralRegressor(config, replace(NEUTRAL, max_epochs=1, batch_size=8, warmup_steps=0))
    return model.fit(rhos[:16], rhos[20:])

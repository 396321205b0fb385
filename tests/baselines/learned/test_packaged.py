"""Packaged networks of cells: they load by name, are what their recipe says, and find most of the energy."""

import pytest

import cmlflow
from cmlflow.baselines.learned.folder import is_cell_network
from cmlflow.metrics.association import association_counts, evaluate_association, track_shares
from cmlflow.model_paths import PACKAGED, packaged_models
from cmlflow.recipes import CELL_RECIPES

CELLS = [name for name in packaged_models(every=True) if name not in packaged_models()]


@pytest.mark.parametrize("name", CELLS)
def test_packaged_networks_are_those_of_their_recipes(name):
    recipe, model = CELL_RECIPES[name](), cmlflow.load(name)
    assert is_cell_network(name)
    assert (model.config, model.training) == (recipe.config, recipe.training)
    assert model.trained_on_["sample"] == recipe.sample
    (row,) = [m for m in cmlflow.models() if m.name == name]
    assert (row.kind, row.detector, row.sample) == ("cells", model.trained_on_["detector"], recipe.sample)
    assert sum(f.stat().st_size for f in (PACKAGED / name).iterdir()) < 1.5e6


def test_packaged_pointnet_gives_the_cells_of_the_track():
    events = list(cmlflow.simulate("rho-test", 60, seed=5))
    found = cmlflow.load("rho-pointnet").cell_shares(events)
    counts = [
        association_counts(s.charged, track_shares(e), e.energy, (e.particle_id >= 0)[None])
        for e, s in zip(events, found, strict=True)
    ]
    assert evaluate_association(counts, bootstrap=0)["weighted_f1"] > 0.92

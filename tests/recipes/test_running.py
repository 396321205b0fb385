"""Recipes and what runs them."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from cmlflow import MetricClusterer, ParticleFlow, simulate
from cmlflow.embedders.axes import fit_axis_finder
from cmlflow.methods import METHODS
from cmlflow.model_paths import packaged_models
from cmlflow.readouts import build_readout
from cmlflow.recipes import RECIPES, recipe
from cmlflow.recipes.running import run_recipe
from cmlflow.refiners.stages import fit_hit_assigner
from cmlflow.simulation import SAMPLES, SLAB_SAMPLES


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_name_what_there_is(name):
    r = recipe(name)
    assert r.name == name
    assert {r.sample, f"{r.sample}-validation", f"{r.sample}-tuning"} <= (SAMPLES | SLAB_SAMPLES).keys()
    model = MetricClusterer(**r.parameters)
    assert model.readout == r.readouts[0]
    for readout, grid in r.grids.items():
        assert readout in r.readouts
        assert grid.keys() <= build_readout(readout).get_params().keys()


@pytest.mark.parametrize("kind", ["em", "had", "mixed"])
def test_best_has_the_showers_it_is_compared_with(kind):
    best, compact = recipe(f"compact-{kind}-best"), recipe(f"compact-{kind}-supcon")
    assert (best.sample, best.n_events, best.seed) == (compact.sample, compact.n_events, compact.seed)


def test_best_from_recipe_to_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("cmlflow.embedders.axes.fit_axis_finder", partial(fit_axis_finder, n_steps=60))
    monkeypatch.setattr("cmlflow.refiners.stages.fit_hit_assigner", partial(fit_hit_assigner, n_steps=20))
    small = replace(recipe("compact-had-best"), n_events=3, n_validation=1, n_tuning=2, tuning_particles=(2, 3))
    model = run_recipe(replace(small, readouts=("condensation",)), tmp_path / "run")
    thresholds = MetricClusterer.load(tmp_path / "run").thresholds_
    assert thresholds == model.thresholds_
    for name, values in small.grids["condensation"].items():
        assert thresholds["condensation"][name] in values
    events = list(simulate("compact-had-validation", 1, seed=2))
    assert MetricClusterer.load(tmp_path / "run").predict(events)[0].max() >= 0


@pytest.mark.parametrize("name", ["rho-supcon", "rho-oc", "jets-supcon"])
def test_tracks_from_recipe_to_folder(tmp_path, name):
    grid = {"clue": {"link_distance": (0.5,)}, "condensation": {"threshold": (0.1,)}}
    small = replace(recipe(name), n_events=4, n_validation=2, n_tuning=40, grids=grid)
    model = run_recipe(replace(small, readouts=small.readouts[:1]), tmp_path / "run", max_epochs=1)
    loaded = MetricClusterer.load(tmp_path / "run")
    assert loaded.tracks
    assert loaded.thresholds_ == model.thresholds_ != {}
    events = list(simulate(f"{name.split('-')[0]}-validation", 2, seed=5))
    for event, a, b in zip(events, loaded.iter(events), model.iter(events), strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)
        assert (len(a.labels), len(a.track_labels)) == (event.n_hits, len(event.tracks))
    for event, c in zip(events, ParticleFlow.load(tmp_path / "run").predict(events), strict=True):
        assert c.track[: len(event.tracks)].tolist() == list(range(len(event.tracks)))


def test_unknown_recipe():
    with pytest.raises(ValueError, match="compact-em-best"):
        recipe("compact-em-worst")


def with_its_dropout(parameters):
    """The parameters of a model with the dropout that None stands for."""
    network = parameters.get("network")
    if network is None or network.dropout is not None:
        return parameters
    return parameters | {"network": replace(network, dropout=METHODS[parameters["head"]].dropout)}


@pytest.mark.parametrize("name", [name for name in packaged_models() if name.startswith("compact")])
def test_packaged_models_are_what_their_recipe_makes(name):
    model, parameters = MetricClusterer.load(name), recipe(name).parameters
    found = {name: getattr(model, name) for name in parameters}
    assert with_its_dropout(found) == with_its_dropout(parameters)
    assert set(recipe(name).readouts) <= set(model.thresholds_)
    assert model.trained_on_["sample"] == recipe(name).sample

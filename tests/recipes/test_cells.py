"""Recipes of networks of cells, from name to folder."""

from dataclasses import replace

import numpy as np
import pytest

import cmlflow
from cmlflow.cli.main import main
from cmlflow.recipes import CELL_RECIPES, RECIPES
from cmlflow.recipes.cells import run_cell_recipe
from cmlflow.simulation import SLAB_SAMPLES


@pytest.mark.parametrize("name", sorted(CELL_RECIPES))
def test_recipes_name_what_there_is(name):
    r = CELL_RECIPES[name]()
    assert r.name == name
    assert name not in RECIPES
    assert {r.sample, f"{r.sample}-validation", f"{r.sample}-tuning"} <= SLAB_SAMPLES.keys()
    assert r.build(r.config, r.training).config == r.config


@pytest.mark.parametrize("name", ["rho-pointnet", "pi-gun-deepset"])
def test_from_recipe_to_folder_and_again(tmp_path, name):
    small = replace(CELL_RECIPES[name](), n_events=12, n_validation=4, n_tuning=8)
    model = run_cell_recipe(small, tmp_path / "run", max_epochs=2)
    again = run_cell_recipe(small, tmp_path / "run", max_epochs=2)  # finished: nothing is trained
    loaded = cmlflow.load(tmp_path / "run")
    assert loaded.trained_on_ == {"sample": small.sample, "detector": "slab-hg"}
    assert len(loaded.calibration) == 4
    events = list(cmlflow.simulate(f"{small.sample}-test", 3, seed=1))
    for a, b, c in zip(*(m.predict(events) for m in (model, again, loaded)), strict=True):
        np.testing.assert_array_equal(a.share, b.share)
        np.testing.assert_array_equal(a.share, c.share)


def test_changes_that_they_do_not_have(tmp_path):
    with pytest.raises(ValueError, match="dim can't be changed for rho-pointnet, only max_epochs"):
        run_cell_recipe(CELL_RECIPES["rho-pointnet"](), tmp_path, dim=3)


def test_command_line_refuses_what_does_not_fit(tmp_path, capsys):
    output = str(tmp_path / "out")
    assert main(["train", "rho-pointnet", "-o", output, "--precision", "float16"]) == 1
    assert "--precision is not for rho-pointnet" in capsys.readouterr().err
    assert main(["train", "rho-pointnet", "-o", output, "--validation", "x.root"]) == 1
    assert "the recipe rho-pointnet has its own" in capsys.readouterr().err

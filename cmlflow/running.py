"""From a recipe to a model folder: simulate, train, tune, save; resumable at every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cmlflow.clusterer import MetricClusterer
from cmlflow.recipes import Recipe
from cmlflow.simulation import SimulatedEvents, simulate


def run_recipe(
    recipe: Recipe, folder: str | Path, *, verbose: bool = False, tensorboard: bool = False, **changes: Any
) -> MetricClusterer:
    """Train and tune what a recipe says and save the model.

    Parameters
    ----------
    recipe : Recipe
    folder : path
        Gets checkpoint, log, weights and configuration. A run that was interrupted there is continued.
    verbose, tensorboard : bool
    **changes
        Parameters of `MetricClusterer` in place of the recipe's.

    Returns
    -------
    MetricClusterer
    """
    train = SimulatedEvents(recipe.sample, recipe.n_events, seed=recipe.seed)
    validation = simulate(f"{recipe.sample}-validation", recipe.n_validation, seed=recipe.seed)
    tuning = simulate(f"{recipe.sample}-tuning", recipe.n_tuning, seed=recipe.seed)
    model = MetricClusterer(**(recipe.parameters | {"verbose": verbose} | changes))
    model.fit(train, validation=validation, folder=folder, tensorboard=tensorboard)
    model.save(folder)
    model.tune(tuning, readouts=recipe.readouts)
    model.save(folder)
    return model

"""From a recipe to a model folder: simulate, train, tune, save; resumable at every step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cmlflow.association import Associator
from cmlflow.clusterer import MetricClusterer
from cmlflow.particle_flow import ParticleFlow
from cmlflow.recipes import Recipe
from cmlflow.simulation import Sample, SimulatedEvents, SlabSample, sample, simulate
from cmlflow.training.parallel import is_first


def run_recipe(
    recipe: Recipe,
    folder: str | Path,
    *,
    library: str | Path | None = None,
    verbose: bool = False,
    tensorboard: bool = False,
    **changes: Any,
) -> MetricClusterer:
    """Train and tune what a recipe says and save the model; with tracks, what makes candidates of its clusters too.

    Parameters
    ----------
    recipe : Recipe
    folder : path
        Gets checkpoint, log, weights and configuration. A run that was interrupted there is continued.
    library : path, optional
        Showers to make the samples from, in place of the packaged ones.
    verbose, tensorboard : bool
    **changes
        Parameters of `MetricClusterer` in place of the recipe's.

    Returns
    -------
    MetricClusterer
        Under torchrun, only the first process tunes and saves.
    """
    train = SimulatedEvents(
        _sample(recipe.sample, recipe.train_particles), recipe.n_events, seed=recipe.seed, library=library
    )
    validation = simulate(f"{recipe.sample}-validation", recipe.n_validation, seed=recipe.seed, library=library)
    tuned_on = _sample(f"{recipe.sample}-tuning", recipe.tuning_particles)
    tuning = simulate(tuned_on, recipe.n_tuning, seed=recipe.seed, library=library)
    model = MetricClusterer(**(recipe.parameters | {"verbose": verbose} | changes))
    model.fit(train, validation=validation, folder=folder, tensorboard=tensorboard)
    if not is_first():
        return model
    model.save(folder)
    for readout in recipe.readouts:
        model.tune(tuning, readouts=[readout], grid=recipe.grids.get(readout))
    model.save(folder)
    if model.tracks:
        ParticleFlow(model, Associator(**recipe.association)).fit(tuning).save(folder)
    return model


def _sample(name: str, n_particles: tuple[int, int] | None) -> Sample | SlabSample:
    """The sample of a name, with other numbers of particles where they are given."""
    found = sample(name)
    if n_particles is None:
        return found
    if not isinstance(found, Sample):
        raise ValueError(f"sample {name}: the number of its particles is not a matter of choice")
    return replace(found, n_particles=n_particles)

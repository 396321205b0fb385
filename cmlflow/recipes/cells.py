"""Recipes of networks of cells, and running them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cmlflow.baselines.learned import (
    CellNetwork,
    NeutralConfig,
    NeutralRegressor,
    PointNetConfig,
    PointNetRegressor,
    SuperConfig,
    SuperResolver,
)
from cmlflow.baselines.learned.neutral import USUAL as NEUTRAL_USUAL
from cmlflow.baselines.learned.pointnet import USUAL
from cmlflow.baselines.learned.superresolution import USUAL as SUPER_USUAL
from cmlflow.simulation import SimulatedEvents
from cmlflow.simulation.pairs import EventPairs
from cmlflow.training import TrainingConfig
from cmlflow.training.parallel import is_first


@dataclass(frozen=True)
class CellRecipe:
    """A training run of a network of cells.

    Attributes
    ----------
    name : str
        As the command line takes it.
    sample : str
        Training sample; validation and tuning samples are its ``-validation`` and ``-tuning`` variants.
    n_events, n_validation, n_tuning : int
        Events for training, made once and reflected differently in every epoch; to choose the epoch; to calibrate.
    build : callable
        ``build(config, training, device, verbose)``: the class of the network.
    config : object
        Its configuration.
    training : TrainingConfig
    seed : int
        Of the samples.
    """

    name: str
    sample: str
    n_events: int
    n_validation: int
    n_tuning: int
    build: Callable[..., Any]
    config: Any
    training: TrainingConfig
    seed: int = 1


def rho_pointnet() -> CellRecipe:
    """PointNet on rho decays, parts of every cell: 5,000 events in 10 epochs, two minutes on one core."""
    return CellRecipe(
        "rho-pointnet", "rho", 5000, 200, 300, PointNetRegressor, PointNetConfig(), replace(USUAL, max_epochs=10)
    )


def jets_pointnet() -> CellRecipe:
    """PointNet on jets, one sample for each of six tracks: 2,000 events in 4 epochs.

    By the time per event a few minutes on one core; not run at this size yet.
    """
    training = replace(USUAL, max_epochs=4)
    return CellRecipe("jets-pointnet", "jets", 2000, 100, 300, PointNetRegressor, PointNetConfig(), training)


def pi_gun_graph() -> CellRecipe:
    """The joint graph network on pion guns: 2,500 events in 8 epochs, under two minutes on one core."""
    return _pi_gun("graph", 2500, 8, NeutralConfig("graph"))


def pi_gun_deepset() -> CellRecipe:
    """A DeepSet of six times the paper's width: 2,500 events in 12 epochs, a minute and a half on one core."""
    return _pi_gun("deepset", 2500, 12, NeutralConfig("deepset", width=6))


def pi_gun_convnet() -> CellRecipe:
    """The ConvNet with a quarter of the paper's channels: 1,500 events in 3 epochs, under two minutes on one core."""
    return _pi_gun("convnet", 1500, 3, NeutralConfig("convnet", "fraction"))


def pi_gun_unet() -> CellRecipe:
    """The UNet of width 8: 5,000 events in 2 epochs.

    By the time per event a few minutes on one core; not run at this size yet.
    """
    return _pi_gun("unet", 5000, 2, NeutralConfig("unet", "fraction"))


def _pi_gun(network: str, n_events: int, max_epochs: int, config: NeutralConfig) -> CellRecipe:
    training = replace(NEUTRAL_USUAL, max_epochs=max_epochs)
    return CellRecipe(f"pi-gun-{network}", "pi-guns", n_events, 100, 300, NeutralRegressor, config, training)


def superres(network: str) -> CellRecipe:
    """Fine cells from coarse ones on pion guns of 2-5 GeV: 3,000 events in 5 epochs.

    By the time per event a few minutes on one core; not run at this size yet.
    """
    config, training = SuperConfig(network), replace(SUPER_USUAL, max_epochs=5)
    return CellRecipe(f"superres-{network}", "pi-gun-2-5", 3000, 200, 0, SuperResolver, config, training)


CELL_RECIPES: dict[str, Callable[[], CellRecipe]] = {
    "rho-pointnet": rho_pointnet,
    "jets-pointnet": jets_pointnet,
    "pi-gun-graph": pi_gun_graph,
    "pi-gun-deepset": pi_gun_deepset,
    "pi-gun-convnet": pi_gun_convnet,
    "pi-gun-unet": pi_gun_unet,
    "superres-graph": lambda: superres("graph"),
    "superres-graph-unet": lambda: superres("graph-unet"),
    "superres-conv-unet": lambda: superres("conv-unet"),
}


def run_cell_recipe(
    recipe: CellRecipe,
    folder: str | Path,
    *,
    library: str | Path | None = None,
    verbose: bool = False,
    tensorboard: bool = False,
    device: str = "cpu",
    **changes: Any,
) -> CellNetwork | SuperResolver:
    """Train and calibrate what a recipe says and save the model; an interrupted run is continued.

    Parameters
    ----------
    recipe : CellRecipe
    folder : path
        Gets checkpoint, log, weights and configuration.
    library : path, optional
        Showers to make the samples from, in place of the packaged ones.
    verbose, tensorboard : bool
    device : str, default="cpu"
    **changes
        ``max_epochs``, ``batch_size``, ``learning_rate`` and ``random_state`` in place of the recipe's.

    Raises
    ------
    ValueError
        A change that networks of cells do not have.
    """
    names = {"max_epochs": "max_epochs", "batch_size": "batch_size", "learning_rate": "learning_rate",
             "random_state": "seed"}  # fmt: skip
    if unknown := changes.keys() - names.keys():
        raise ValueError(f"{sorted(unknown)[0]} can't be changed for {recipe.name}, only {', '.join(names)}")
    training = replace(recipe.training, **{names[name]: value for name, value in changes.items()})
    model: CellNetwork | SuperResolver = recipe.build(recipe.config, training, device, verbose)
    if isinstance(model, SuperResolver):
        pairs, held_out = (
            EventPairs(f"{recipe.sample}{end}", n, recipe.seed, recipe.config.coarse, recipe.config.fine, library)
            for end, n in (("", recipe.n_events), ("-validation", recipe.n_validation))
        )
        model.fit(pairs, held_out, folder=folder, tensorboard=tensorboard)
        if is_first():
            model.save(folder)
        return model
    train, validation, tuning = (
        SimulatedEvents(f"{recipe.sample}{end}", n, seed=recipe.seed, library=library)
        for end, n in (("", recipe.n_events), ("-validation", recipe.n_validation), ("-tuning", recipe.n_tuning))
    )
    model.fit(train, validation, folder=folder, tensorboard=tensorboard)
    if is_first():
        chosen = list(tuning)
        if isinstance(model, PointNetRegressor):
            model.tune(chosen)
        model.calibrate(chosen).save(folder)
    return model

"""The trained model of a run: given, kept from an earlier run, or trained by its recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmlflow.clusterer import MetricClusterer
from cmlflow.methods import method
from cmlflow.model_paths import find_model
from cmlflow.recipes.running import run_recipe
from cmlflow_benchmarks import models
from cmlflow_benchmarks.keeping import kept, read_kept
from cmlflow_benchmarks.models import digest
from cmlflow_benchmarks.physics.matrix import Run, Size, plain, recipe_dim, recipe_name, recipe_of


def given_models(entries: Sequence[str], size: Size, runs: Sequence[Run]) -> dict[Run, str]:
    """Which trained models stand for which runs.

    Parameters
    ----------
    entries : sequence of str
        As in `cmlflow_benchmarks.models.given_models`, names being those of the runs, such as
        ``em-supcon-4d-seed2``; a packaged model with the name of a recipe stands for its run of seed 1.
    size : Size
    runs : sequence of Run

    Raises
    ------
    ValueError
        For a name that is none of these, or a run that is not in the matrix.
    FileNotFoundError
        For a model that there is not.
    """
    by_name = {run.name: run for run in runs}
    as_recipes = [c for c in runs if c.seed == 1 and c.dim == recipe_dim(size, c.kind, c.system)]
    recipes = {recipe_name(size, c.kind, c.system): c.name for c in as_recipes}
    return {by_name[name]: model for name, model in models.given_models(entries, list(by_name), recipes).items()}


def model_of(
    run: Run,
    size: Size,
    folder: Path,
    given: str | None = None,
    *,
    library: str | Path | None = None,
    device: str = "cpu",
    again: bool = False,
    verbose: bool = True,
) -> tuple[MetricClusterer, dict[str, Any]]:
    """The model of a run and where it comes from.

    Parameters
    ----------
    run : Run
    size : Size
    folder : Path
        Of the benchmark; the model is trained in ``models/<run>``, and an interrupted training goes on there.
    given : str, optional
        Packaged model or folder to take.
    library, device : see `run_recipe`
    again : bool
        Train anew where the recipe is not what it was.
    verbose : bool

    Returns
    -------
    model : MetricClusterer
    origin : dict
        ``model`` (name) and ``weights`` (digest); where it was trained here, ``minutes`` and ``epochs`` of training.

    Raises
    ------
    ValueError
        The given model has another dimension, head or sample than the run, or the folder was trained with another
        recipe.
    """
    if given is not None:
        model = MetricClusterer.load(given, device=device)
        dim = model.dim or method(model.head).dim
        if dim != run.dim:
            raise ValueError(f"models: {given} has dimension {dim}, but {run.name} asks for {run.dim}")
        head = recipe_of(size, run).parameters["head"]
        trained_on = model.trained_on_.get("sample")
        if model.head != head or trained_on not in (None, recipe_of(size, run).sample):
            raise ValueError(
                f"models: {given} has head {model.head!r} and was trained on {trained_on}, but {run.name} asks for "
                f"{head!r} and {recipe_of(size, run).sample}"
            )
        return model, {"model": str(given), "weights": digest(find_model(given))}
    chosen = recipe_of(size, run)
    home = folder / "models" / run.name
    settings = {"recipe": plain(chosen), "library": None if library is None else str(library)}
    if again and (home / "recipe.json").exists() and read_kept(home / "recipe.json")["settings"] != settings:
        for file in home.iterdir():
            file.unlink()
    kept(home / "recipe.json", settings, dict)

    def train() -> dict[str, Any]:
        model = run_recipe(chosen, home, library=library, verbose=verbose, device=device)
        records = model.history_.records if model.history_ else []
        return {"minutes": sum(r["seconds"] for r in records) / 60, "epochs": len(records)}

    done = kept(home / "trained.json", settings, train)
    model = MetricClusterer.load(home, device=device)
    return model, {"model": run.name, "weights": digest(home)} | {k: done[k] for k in ("minutes", "epochs")}

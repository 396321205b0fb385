"""What there is to run: samples, the models that belong to each, how many events, which pairs are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cmlflow.model_folder import find_model, packaged_models

RHO, JETS = "rho", "jets"
GUNS = ("pi-gun-2-5", "pi-gun-5-10", "pi-gun-10-15", "pi-gun-15-20")
SAMPLES = (RHO, *GUNS, JETS)
"""Each has its own variants ``-validation``, ``-tuning`` and ``-test``, of showers that no other variant has."""

TRANSFER, AT_HOME = "rhos-supcon", "jets-supcon"
"""The model trained on events of 1-3 tracks, and the one it is set beside on jets."""
MODELS: dict[str, tuple[str, ...]] = {
    RHO: ("rho-supcon", "rho-oc"),
    **dict.fromkeys(GUNS, ("pi-gun-supcon",)),
    JETS: (AT_HOME, "jets-oc", TRANSFER),
}
"""Trained models that belong to each sample."""
ALL_MODELS = tuple(dict.fromkeys(name for names in MODELS.values() for name in names))

ALWAYS_1, ALWAYS_0, RANDOM = "always 1", "always 0", "random"
NEAREST, WITHIN = "nearest track", "nearest track, radius"
PARAMETRIC, TRUTH = "parametric", "truth"
HARD, SCALED = ", hard", ", scale of jets"
"""Ends of the names of systems: every hit wholly to one candidate; neutral energies calibrated on jets."""

RADII = (0.03, 0.04, 0.06, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
"""Radii in ΔR of the nearest track, of which one is chosen on validation events."""
TEST_SEED = VALIDATION_SEED = TUNING_SEED = 1


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes
    ----------
    name : str
    n_events, n_jets : int
        Test events of each sample, and of `jets`.
    n_validation, n_tuning : int
        Events that choose the radius; events for the energy scale where no model brings one.
    bootstrap : int
        Resamples of the test events behind each interval.
    """

    name: str
    n_events: int
    n_jets: int
    n_validation: int
    n_tuning: int
    bootstrap: int

    def events(self, sample: str) -> int:
        """Test events of a sample."""
        return self.n_jets if sample == JETS else self.n_events

    def with_events(self, n_events: int | None) -> Size:
        """The same with other numbers of test events: so many of every sample."""
        return self if n_events is None else replace(self, n_events=n_events, n_jets=n_events)


SIZES = {"full": Size("full", 1000, 500, 300, 300, 500), "quick": Size("quick", 40, 25, 25, 40, 50)}


def pairs_of(sample: str, there: Iterable[str]) -> list[tuple[str, str]]:
    """Systems of a sample that are compared on the same events, each with its reference, where both have been run.

    Parameters
    ----------
    sample : str
    there : iterable of str
        Systems that have been run.
    """
    models, run = MODELS[sample], set(there)
    wanted: list[tuple[str, str]] = []
    if sample == RHO:
        wanted += [(m + end, ref) for m in models for end in ("", HARD) for ref in (ALWAYS_1, WITHIN, PARAMETRIC)]
        wanted += [("rho-supcon" + end, "rho-oc" + end) for end in ("", HARD)]
    elif sample == JETS:
        ours = (AT_HOME, "jets-oc")
        wanted += [(m + end, ref) for m in ours for end in ("", HARD) for ref in (WITHIN, PARAMETRIC)]
        wanted += [(AT_HOME + end, "jets-oc" + end) for end in ("", HARD)]
        wanted += [(TRANSFER + end, AT_HOME) for end in ("", SCALED)]
    else:
        wanted += [(m + end, PARAMETRIC) for m in models for end in ("", HARD)]
    wanted += [(m, m + HARD) for m in models]
    return [(one, two) for one, two in wanted if one in run and two in run]


def chosen_samples(names: Sequence[str] | None) -> tuple[str, ...]:
    """Samples to run, in their order; all where none are named.

    Raises
    ------
    ValueError
        For a name that is none of them; lists those there are.
    """
    if wrong := [n for n in names or () if n not in SAMPLES]:
        raise ValueError(f"samples: {wrong[0]!r} is not known; there are {', '.join(SAMPLES)}")
    return SAMPLES if not names else tuple(s for s in SAMPLES if s in names)


def given_models(given: Sequence[str]) -> dict[str, str]:
    """Folder or packaged name of each model that there is.

    Parameters
    ----------
    given : sequence of str
        ``NAME=FOLDER`` with a name of `ALL_MODELS`; others are taken from the package where it has them.

    Raises
    ------
    ValueError
        For anything else.
    FileNotFoundError
        For a folder without a model.
    """
    out = {name: name for name in ALL_MODELS if name in packaged_models()}
    for entry in given:
        name, separator, folder = entry.partition("=")
        if not separator or not folder or name not in ALL_MODELS:
            raise ValueError(f"models: {entry!r} is not NAME=FOLDER with a name of {', '.join(ALL_MODELS)}")
        find_model(folder)
        out[name] = folder
    return out

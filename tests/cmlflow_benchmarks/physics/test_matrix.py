"""Which models there are, what they are trained with and tested on."""

from dataclasses import replace

import numpy as np
import pytest

import cmlflow
from cmlflow.recipes import recipe
from cmlflow.simulation import SAMPLES, SPLITS
from cmlflow_benchmarks.physics import matrix as m
from cmlflow_benchmarks.physics.matrix import SIZES, Run, planned_runs, readouts_of, recipe_of, sets_to_test
from cmlflow_benchmarks.physics.models import given_models
from cmlflow_benchmarks.physics.testing import score

COMPACT, PAPER = SIZES["compact"], SIZES["paper"]


def test_the_matrix_has_all_combinations_once():
    found = planned_runs(COMPACT, m.KINDS, ("supcon", "oc"), (4, 16), (2, 1))
    assert len(found) == len(set(found)) == 3 * 2 * 2 * 2
    assert found[0] == Run("em", "supcon", 16, 1)
    assert [c.seed for c in found] == sorted(c.seed for c in found)
    assert found[0].name == "em-supcon-16d-seed1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinds": ["muons"]}, "kind 'muons' is not known; there are em, had, mixed"),
        ({"systems": ["kmeans"]}, "system 'kmeans' is not known; there are supcon, oc, best"),
        ({"dims": [0]}, "dim is 0"),
        ({"seeds": [-1]}, "seed is -1"),
        ({"systems": []}, "there is no recipe"),
    ],
)
def test_wrong_names_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        planned_runs(COMPACT, **({"kinds": ["em"], "systems": ["supcon"], "dims": [16], "seeds": [1]} | change))


def test_seed_one_is_the_recipe_as_it_stands_and_others_differ_in_all_that_is_random():
    base = recipe("compact-had-oc")
    first, third = (recipe_of(COMPACT, Run("had", "oc", 16, s)) for s in (1, 3))
    assert (first.parameters, first.seed, first.n_events) == (base.parameters, base.seed, base.n_events)
    assert third.seed == base.seed + 2
    assert third.parameters == base.parameters | {"random_state": 2}
    four = recipe_of(COMPACT, Run("had", "oc", 4, 1))
    assert four.parameters == base.parameters | {"dim": 4}


def test_systems_share_their_training_events():
    one, two = (recipe_of(COMPACT, Run("em", s, 16, 2)) for s in ("supcon", "oc"))
    assert (one.sample, one.seed, one.n_events) == (two.sample, two.seed, two.n_events)
    assert one.parameters["random_state"] == two.parameters["random_state"]


def test_own_readout_comes_first_and_all_are_offered_the_common_ones():
    assert readouts_of(COMPACT, Run("had", "supcon", 16, 1))[:4] == ("density", "ward", "clue", "hdbscan")
    assert readouts_of(COMPACT, Run("em", "oc", 16, 1))[:4] == ("condensation", "ward", "clue", "hdbscan")
    assert readouts_of(COMPACT, Run("em", "oc", 4, 1)) == readouts_of(COMPACT, Run("em", "oc", 16, 1))


def test_best_has_its_own_dimension_and_shares_its_readouts_with_supcon():
    assert "best" in m.available_systems(COMPACT, ["em"])
    found = planned_runs(COMPACT, ["em", "had"], ["supcon", "best"], [16, 8], [1])
    assert [c for c in found if c.system == "best"] == [Run("em", "best", 2, 1), Run("had", "best", 2, 1)]
    assert sum(c.system == "supcon" for c in found) == 4
    assert m.dimension(recipe_of(COMPACT, Run("em", "best", 2, 1))) == 2
    best, paper = (readouts_of(COMPACT, Run("had", s, 2, 1)) for s in ("best", "supcon"))
    names = ("condensation", "clue", "density", "hdbscan")
    assert best == (*names, *(f"{name}@wide" for name in names))
    assert set(best) - set(paper) == {"condensation", "condensation@wide"}  # which needs beta
    rival = readouts_of(COMPACT, Run("em", "oc", 16, 1))
    assert set(rival) == set(paper) | {"condensation", "condensation@wide"}


def test_wide_tuning_has_more_particles_of_the_same_showers():
    (usual, _), (wide, n) = (m.auxiliary(COMPACT, "had", wide) for wide in (False, True))
    assert usual == SAMPLES["compact-had-tuning"]
    assert replace(wide, name=usual.name, n_particles=usual.n_particles) == usual
    assert (wide.n_particles, n) == ((2, 15), 50)


def test_mixed_models_are_tested_on_both_kinds_and_on_the_spectrum_of_training():
    names = [t.name for t in sets_to_test(COMPACT, "mixed")]
    assert names[0] == "em-01"
    assert "had-30" in names
    assert names[-1] == m.SPECTRUM
    spectrum = sets_to_test(COMPACT, "mixed")[-1].sample
    train = SAMPLES["compact-mixed"]
    assert spectrum == replace(train, name=spectrum.name, split="test")
    for kind in m.KINDS:
        assert all(t.sample.split == "test" for t in sets_to_test(COMPACT, kind))


def test_test_showers_were_used_for_nothing_else():
    from cmlflow.simulation import ShowerLibrary

    library = ShowerLibrary.packaged("hgcal-em")
    test = library.find("test", (11, -11), (10, 200))
    others = np.concatenate([library.find(s, (11, -11), (10, 200)) for s in SPLITS if s != "test"])
    assert not set(test) & set(others)


def test_other_numbers_of_events():
    size = COMPACT.with_events(8, 12)
    assert size.events == {1: 8, 2: 8, 4: 8, 8: 8, 15: 8, 30: 4}
    assert (size.n_tuning, size.n_spectrum) == (12, 20)
    assert COMPACT.with_events() == COMPACT


def test_given_models_stand_for_runs():
    found = planned_runs(COMPACT, ["em"], ["supcon", "oc"], [16, 4], [1, 2])
    first = Run("em", "supcon", 16, 1)
    assert given_models(["compact-em-supcon"], COMPACT, found) == {first: "compact-em-supcon"}
    assert set(given_models(["packaged"], COMPACT, found)) == {first, Run("em", "oc", 16, 1)}
    other = given_models(["em-oc-16d-seed2=compact-em-oc"], COMPACT, found)
    assert other == {Run("em", "oc", 16, 2): "compact-em-oc"}
    with pytest.raises(ValueError, match=r"unknown name 'em-oc' in 'em-oc=.*', expected one of em-supcon-16d-seed1"):
        given_models(["em-oc=compact-em-oc"], COMPACT, found)
    with pytest.raises(ValueError, match="'compact-had-oc' is neither NAME=MODEL"):
        given_models(["compact-had-oc"], COMPACT, found)
    with pytest.raises(FileNotFoundError, match="no-such"):
        given_models(["em-oc-16d-seed2=no-such"], COMPACT, found)


@pytest.mark.parametrize("kind", m.KINDS)
def test_runs_of_the_papers_size_are_set_up(kind):
    size = replace(PAPER, n_tuning=1, n_spectrum=1)
    for run in planned_runs(size, [kind], ["supcon", "oc"], [16, 4], [1]):
        found = recipe_of(size, run)
        assert (found.n_events, found.parameters["max_epochs"], found.parameters["batch_size"]) == (10_000, 100, 16)
        assert m.dimension(found) == run.dim
        assert len(cmlflow.simulate(found.sample, 1, seed=found.seed)) == 1
        assert cmlflow.simulate(f"{found.sample}-tuning", 1, seed=1)[0].n_hits > 100
    run = Run(kind, "oc", 4, 1)
    model = cmlflow.MetricClusterer(**recipe_of(size, run).parameters | {"max_epochs": 1})
    model.fit(cmlflow.simulate("compact-em", 1, seed=1, n_particles=1))
    which = sets_to_test(size, kind)
    assert {t.n_particles for t in which} - {None} == {1, 2, 4, 8, 10, 15, 20, 30}
    assert cmlflow.simulate(which[7].sample, 1, 1, n_particles=30)[0].n_particles == 30
    chosen = [replace(t, n_events=1) for t in which if t.n_particles in (1, None)]
    for one in chosen:
        kept = score(model, one, ["condensation"])
        assert len(kept["particle"]["energy"]) == (one.n_particles or len(kept["particle"]["energy"])) > 0


def test_controls_have_one_seed_and_dimension_and_the_readouts_of_what_they_vary():
    found = planned_runs(COMPACT, ["em", "mixed"], ["supcon", "raw", "oclong"], [16, 4], [1, 2])
    assert [c.name for c in found if c.system in ("raw", "oclong")] == ["em-raw-16d-seed1", "em-oclong-16d-seed1"]
    raw, supcon = (m.readouts_of(COMPACT, m.Run("em", s, 16, 1)) for s in ("raw", "supcon"))
    assert raw == supcon
    long, oc = (m.recipe_of(COMPACT, m.Run("em", s, 16, 1)) for s in ("oclong", "oc"))
    assert long.parameters == oc.parameters | {"max_epochs": 60}
    assert m.recipe_of(COMPACT, m.Run("had", "projective", 16, 1)).parameters["network"].scaling == "projective"

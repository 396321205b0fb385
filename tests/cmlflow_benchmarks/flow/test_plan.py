import pytest

from cmlflow.simulation import SLAB_SAMPLES
from cmlflow_benchmarks.flow.plan import (
    ALWAYS_1,
    HARD,
    MODELS,
    PARAMETRIC,
    SAMPLES,
    SCALED,
    SIZES,
    TRANSFER,
    TRUTH,
    WITHIN,
    chosen_samples,
    is_model,
    pairs_of,
)


def test_every_sample_has_its_variants():
    assert {f"{s}-{v}" for s in SAMPLES for v in ("validation", "tuning", "test")} <= set(SLAB_SAMPLES)


def test_pairs_need_both_systems():
    assert pairs_of("rho", [ALWAYS_1, WITHIN, PARAMETRIC]) == []
    assert pairs_of("pi-gun-2-5", ["pi-gun-supcon", PARAMETRIC]) == [("pi-gun-supcon", PARAMETRIC)]
    jets = pairs_of("jets", ["jets-supcon", "jets-oc", "jets-supcon" + HARD, "rhos-supcon"])
    assert jets == [
        ("jets-supcon", "jets-oc"),
        ("rhos-supcon", "jets-supcon"),
        ("jets-supcon", "jets-supcon" + HARD),
    ]


def test_samples_come_in_their_order():
    assert chosen_samples(None) == SAMPLES
    assert chosen_samples(["jets", "rho"]) == ("rho", "jets")
    with pytest.raises(ValueError, match="samples: 'rhos' is not known; there are rho, pi-gun-2-5"):
        chosen_samples(["rhos"])


def test_models_are_known_by_the_registry():
    assert all(is_model(name + end) for name in MODELS for end in ("", HARD, SCALED))
    assert not any(is_model(name) for name in (TRUTH, PARAMETRIC, WITHIN, ALWAYS_1, ALWAYS_1 + HARD, "rho-supcon-2"))
    assert MODELS[TRANSFER].transferred
    assert all(other in MODELS for model in MODELS.values() for other in model.against)
    assert {s for model in MODELS.values() for s in model.samples} == set(SAMPLES)


def test_sizes():
    assert SIZES["full"].events("rho") == 1000
    assert SIZES["full"].events("jets") == 500
    assert SIZES["full"].with_events(None) is SIZES["full"]
    assert (SIZES["full"].with_events(7).events("rho"), SIZES["full"].with_events(7).events("jets")) == (7, 4)

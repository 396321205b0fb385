import pytest

from cmlflow.model_folder import packaged_models
from cmlflow.simulation import SLAB_SAMPLES
from cmlflow_benchmarks.flow.plan import (
    ALWAYS_1,
    HARD,
    PARAMETRIC,
    SAMPLES,
    SIZES,
    WITHIN,
    chosen_samples,
    given_models,
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


def test_models_are_packaged_or_given(model):
    packaged = given_models([])
    assert set(packaged) <= set(packaged_models())
    assert given_models([f"rhos-supcon={model}"]) == packaged | {"rhos-supcon": str(model)}
    for wrong in ("rho-supcon", "rho-supcon=", "rho-best=a"):
        with pytest.raises(ValueError, match=r"models: 'rho-.* is not NAME=FOLDER with a name of rho-supcon, rho-oc"):
            given_models([wrong])
    with pytest.raises(FileNotFoundError, match="nowhere: neither a folder"):
        given_models(["rho-oc=nowhere"])


def test_sizes():
    assert SIZES["full"].events("rho") == 1000
    assert SIZES["full"].events("jets") == 500
    assert SIZES["full"].with_events(None) is SIZES["full"]
    assert SIZES["full"].with_events(7).events("jets") == 7

"""SupCon beside OC with the same tuning: which readout, and what the differences are of."""

import pytest

from cmlflow_benchmarks.physics.equal import best_readout, equal_table, equally_tuned
from cmlflow_benchmarks.physics.matrix import planned_runs
from cmlflow_benchmarks.physics.page import _equal
from cmlflow_benchmarks.physics.results import Query


def score(efficiency, purity, ratio):
    return {"efficiency": efficiency, "purity": purity, "ratio": ratio}


@pytest.fixture
def found(make, size):
    """Of EM models of two seeds; CLUE is best for OC on the wide sample, density on the usual one."""
    r = make(planned_runs(size, ("em",), ("supcon", "oc"), (16,), (1, 2)), size, {"supcon": "good", "oc": "poor"})
    for run, tuning in r.tuning.items():
        tuning["scores"] = {name: score(0.5, 0.5, 1.0) for name in tuning["scores"]}
        if run.system == "oc":
            tuning["scores"] |= {"density": score(1.0, 1.0, 1.0), "clue@wide": score(0.9, 0.9, 1.1)}
            tuning["scores"] |= {"hdbscan@wide": score(1.0, 1.0, 1.0), "density@wide": score(1.0, None, 1.0)}
            tuning["scores"]["ward@wide"] = score(1.0, 1.0, 1.0) if run.seed == 1 else score(0.2, 0.2, 1.0)
        else:
            tuning["scores"]["density@wide"] = score(0.9, 0.9, 1.0)
    return r


def test_the_readout_is_that_of_the_smallest_mean_distance_on_the_wide_sample(found):
    assert best_readout(found, "em", "supcon") == "density@wide"
    # HDBSCAN is left out, density has no purity, Ward is better for one seed and worse in the mean
    assert best_readout(found, "em", "oc") == "clue@wide"
    assert best_readout(found, "em", "oclong") is None


def test_differences_are_those_of_the_chosen_readouts(found):
    rows = equally_tuned(found)
    assert [row["particles"] for row in rows] == list(found.numbers)
    row = rows[-1]
    assert row["readouts"] == ["density@wide", "clue@wide"]
    queries = [Query("em", s, "em", "purity", (30,), x) for s, x in (("supcon", "density@wide"), ("oc", "clue@wide"))]
    assert row["purity"]["difference"] == found.difference(*queries).to_dict()
    assert row["purity"]["supcon"] == found.estimate(queries[0]).to_dict()
    assert row["purity"]["difference"]["value"] > 0.5
    assert set(row["purity"]["difference"]["seeds"]) == {"1", "2"}


def test_tables_of_it(found):
    lines = equal_table(equally_tuned(found))
    assert len(lines) == 2 + len(found.numbers)
    assert lines[-1].startswith("| em | em | 30 | OC | density, clue | 0.9")
    note, table = _equal(found)
    assert "2–15 particles" in note
    assert table.count("<tr>") == 1 + len(found.numbers)


def test_nothing_where_one_is_missing(make, size):
    alone = make(planned_runs(size, ("em",), ("supcon", "oc"), (16,), (1,)), size, {"supcon": "good"})
    assert equally_tuned(alone) == []
    assert "Not run" in _equal(alone)[0]

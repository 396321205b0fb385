"""What the report says where there is nothing, and where goals are judged."""

import pytest

from cmlflow_benchmarks.physics import tables
from cmlflow_benchmarks.physics.claims import judged
from cmlflow_benchmarks.physics.goals import goals
from cmlflow_benchmarks.physics.matrix import planned_runs
from cmlflow_benchmarks.physics.page import claim_table


def test_table_3_shows_the_paper_where_no_mixed_model_was_run(make, size):
    found = make(planned_runs(size, ["em"], ["supcon", "oc"], [16], [1]), size, {})
    table = tables.table_3(found)
    assert table.count("<tr>") == 1 + 8
    assert "0.722" in table
    assert table.count("not run") == 3 * 8


def test_rows_of_a_dataset_that_was_not_run_become_one():
    rows = [["EM", 2, "own", "not run"], ["EM", 4, "own", "-"], ["HAD", 2, "own", "0.5"], ["HAD", 4, "own", "not run"]]
    assert tables.condensed(rows, 3) == [["EM", "all", "all", "not run"], *rows[2:]]


def test_claims_without_evidence_have_nothing_to_open():
    claim = {"claim": "a < b", "where": "V", "means": "b - a"}
    evidence = [{"what": "b - a: +0.1 [+0.0, +0.2]", "outcome": "holds"}, {"what": "later", "outcome": "not run"}]
    run = claim | {"verdicts": {"EM": {"verdict": "holds", "evidence": evidence}}}
    absent = claim | {"verdicts": {"EM": {"verdict": "not run", "evidence": evidence[1:]}}}
    page = claim_table([run])
    assert "a &lt; b" in page
    assert "1 of 1 tests hold" in page
    assert "1 more not run" in page
    assert "<details>" not in claim_table([absent])


@pytest.mark.parametrize("n", [15, 8])
def test_goals_without_values_are_not_missed(make, size, n):
    """Nothing has been run: no goal counts as met or missed."""
    for goal in goals(make(planned_runs(size, ["em"], ["supcon"], [16], [1]), size, {"supcon": "good"})):
        if f"at {n}" in goal["goal"]:
            assert goal["met"] is None


def test_controls_are_shown_beside_what_they_vary_and_not_in_the_comparison(make, size):
    matrix = planned_runs(size, ["em"], ["supcon", "raw"], [16], [1, 2])
    found = make(matrix, size, {"supcon": "good", "raw": "poor"})
    assert (found.systems, found.controls) == (["supcon"], ["raw"])
    table = tables.control_table(found, "em", "em", ["raw"])
    assert table.count("<tr>") == 1 + 2 * len(found.numbers)
    assert "unscaled" in table
    assert "not run" not in table
    claim = next(c for c in judged(found) if c["name"] == "normalisation")
    assert claim["verdicts"]["EM"]["verdict"] == "does not hold"
    same = make(matrix, size, {"supcon": "good", "raw": "good"})
    assert next(c for c in judged(same) if c["name"] == "normalisation")["verdicts"]["EM"]["verdict"] == "holds"

"""Verdicts on figures made by hand."""

from cmlflow_benchmarks.flow.goals import goals
from cmlflow_benchmarks.flow.plan import ALWAYS_1, GUNS, PARAMETRIC, WITHIN


def rho(f1, lead):
    pairs = [
        {"system": "rho-supcon", "against": ref, "association": {"weighted_f1_difference": lead}}
        for ref in (ALWAYS_1, WITHIN)
    ]
    return {"association": {"figures": {"rho-supcon": {"weighted_f1": f1}}}, "pairs": pairs}


def gun(width, bias, barycentre):
    versus = {"core_sigma_ratio": width, "barycentre_mean_ratio": barycentre}
    return {
        "neutral": {"figures": {"pi-gun-supcon": {"bias": bias}}},
        "pairs": [{"system": "pi-gun-supcon", "against": PARAMETRIC, "neutral": versus}],
    }


def verdicts(results):
    """Of the metric-learning models; those of the networks of cells come after them."""
    return [(g["met"], g["verdict"]) for g in goals(results)][:13]


def test_met_by_value_and_by_interval():
    clear = {"rho": rho([0.95, 0.93, 0.97], [0.2, 0.15, 0.25])}
    clear |= dict.fromkeys(GUNS, gun([4, 3.1, 5], [-0.01, -0.02, 0.0], [4, 3.5, 5]))
    assert verdicts(clear) == [(True, "holds")] * 13


def test_not_decided_where_the_ends_disagree():
    close = {"rho": rho([0.93, 0.91, 0.95], [0.09, 0.05, 0.12])}
    close |= dict.fromkeys(GUNS, gun([2.5, 1.9, 3.2], [0.02, 0.0, 0.04], [2.9, 2.5, 3.1]))
    found = verdicts(close)
    assert found[:3] == [(True, "not decided"), (False, "not decided"), (False, "not decided")]
    assert found[3:5] == [(False, "not decided"), (True, "not decided")]  # 3 times at 2-5 GeV, 2 times at 15-20 GeV
    assert found[5:9] == [(True, "not decided")] * 4
    assert found[9:] == [(False, "not decided")] * 4


def test_not_met_where_the_whole_interval_is_outside():
    bad = {"rho": rho([0.8, 0.7, 0.9], [0.05, 0.0, 0.09])}
    bad |= {g: gun([1.5, 1.2, 1.9], [s * 0.1, *sorted((s * 0.05, s * 0.15))], [1, 0.9, 1.1])
            for g, s in zip(GUNS, (1, -1, 1, -1), strict=True)}  # fmt: skip
    assert verdicts(bad) == [(False, "does not hold")] * 13


def test_what_was_not_run_or_has_no_interval():
    assert verdicts({}) == [(None, "not run")] * 13
    assert all(g["value"] is None for g in goals({}))
    without = verdicts({"rho": rho([0.95, None, None], [None, None, None])})
    assert without[:3] == [(True, "not decided"), (None, "not run"), (None, "not run")]


def test_goals_of_networks_of_cells():
    network = {"association": {"figures": {"rho-pointnet": {"weighted_f1": [0.96, 0.956, 0.964]}}}}
    network["neutral"] = {"figures": {"rho-pointnet": {"bias": [0.002, -0.02, 0.02]}}}
    network["pairs"] = [
        {
            "system": "rho-pointnet",
            "against": "rho-supcon",
            "association": {"weighted_f1_difference": [0.01, -0.01, 0.02]},
        }
    ]
    versus = {"core_sigma_ratio": [2.0, 1.9, 2.1]}
    graph = {
        "neutral": {"figures": {"pi-gun-graph": {"bias": [0.05, 0.04, 0.06]}}},
        "pairs": [{"system": "pi-gun-graph", "against": PARAMETRIC, "neutral": versus}],
    }
    found = {g["goal"]: (g["met"], g["verdict"]) for g in goals({"rho": network, GUNS[0]: graph, GUNS[3]: graph})[13:]}
    assert found["rho-pointnet: energy-weighted F1 ≥ 0.955"] == (True, "holds")
    assert found["rho-pointnet: energy-weighted F1 not below rho-supcon"] == (True, "not decided")
    assert found["rho-pointnet: |bias| of the neutral residual ≤ 0.01"] == (True, "not decided")
    width = "pi-gun-graph, π gun {} GeV: core σ of the neutral residual {} times narrower than parametric"
    assert found[width.format("2–5", 2.2)] == (False, "does not hold")
    assert found[width.format("15–20", 1.8)] == (True, "holds")
    assert found["pi-gun-graph, π gun 2–5 GeV: |bias| of the neutral residual ≤ 0.03"] == (False, "does not hold")
    assert found["jets-pointnet: energy-weighted F1 ≥ 0.74"] == (None, "not run")

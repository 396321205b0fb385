import json

import numpy as np
import pytest

import cmlflow
from cmlflow.plots.curves import read_log, score_figure, training_figure


@pytest.fixture(scope="module")
def evaluations():
    events = [e for p in (2, 3) for e in cmlflow.simulate("compact-em-test", 3, seed=1, n_particles=p)]
    rng = np.random.default_rng(0)
    perfect = [e.particle_id for e in events]
    merged = [np.where(rng.random() < 0.5, 0, y) for y in perfect]
    return {"perfect": cmlflow.evaluate(events, perfect), "merged": cmlflow.evaluate(events, merged)}


@pytest.mark.parametrize("by", ["multiplicity", "energy"])
def test_points_are_the_scores(evaluations, by):
    figure = score_figure(evaluations, by)
    names = [ax.get_title() for ax in figure.axes]
    assert names == ["efficiency", "purity", "ratio" if by == "multiplicity" else "resolution"]
    ax = figure.axes[0]
    assert ax.get_xlabel() in ("particles per event", "particle energy [GeV]")
    rows = {k: e.by_multiplicity.values() if by == "multiplicity" else e.by_energy for k, e in evaluations.items()}
    for container, (name, own) in zip(ax.containers, rows.items(), strict=True):
        assert container.get_label() == name
        np.testing.assert_allclose(container.lines[0].get_ydata(), [row["efficiency"].value for row in own])
    ends = ax.containers[1].lines[2][0].get_segments()
    expected = [(row["efficiency"].low, row["efficiency"].high) for row in rows["merged"]]
    for segment, (low, high) in zip(ends, expected, strict=True):
        if np.isfinite(low):
            np.testing.assert_allclose(segment[:, 1], [low, high], atol=1e-12)
    figure.savefig("/dev/null", format="svg")


def test_nothing_to_show_is_an_empty_figure():
    score_figure({}).savefig("/dev/null", format="svg")
    training_figure({}).savefig("/dev/null", format="svg")


def test_wrong_names_are_named(evaluations):
    with pytest.raises(ValueError, match="by is 'layer', expected 'multiplicity' or 'energy'"):
        score_figure(evaluations, "layer")
    with pytest.raises(ValueError, match="'ratio' is not known by energy; there are efficiency, purity"):
        score_figure(evaluations, "energy", ["ratio"])


def test_training_curves_of_a_log(tmp_path):
    records = [{"epoch": i, "loss": 3.0 - i, "validation_loss": 3.5 - i} for i in range(3)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert read_log(tmp_path) == read_log(tmp_path / "log.jsonl") == records
    ax = training_figure({"a": tmp_path, "b": [{"epoch": 0, "loss": 1.0}]}).axes[0]
    assert [line.get_label() for line in ax.lines] == ["a, training", "a, validation", "b, training"]
    assert ax.lines[1].get_ydata().tolist() == [3.5, 2.5, 1.5]


def test_a_broken_log_is_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"epoch": 0, "loss": 1}\n{"epo')
    with pytest.raises(ValueError, match=r"log.jsonl, line 2: not a record"):
        read_log(path)
    with pytest.raises(FileNotFoundError):
        read_log(tmp_path / "absent.jsonl")

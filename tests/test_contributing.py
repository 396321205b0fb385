"""The steps of CONTRIBUTING.md, done as they stand there."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import cmlflow
from cmlflow import NetworkConfig
from cmlflow.io import FORMATS
from cmlflow.losses import margin_loss
from cmlflow.methods import METHODS
from cmlflow.readouts import READOUTS
from cmlflow_benchmarks.flow.plan import Size
from cmlflow_benchmarks.flow.systems import BASELINES, run_systems

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


def blocks(title):
    """The Python below a heading."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    return re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)


def done(*titles):
    """The names that the code of these sections makes."""
    names = {"__name__": "contributed"}
    for title in titles:
        for block in blocks(title):
            exec(compile(block, title, "exec"), names)
    return names


@pytest.fixture(autouse=True)
def shelves():
    """As they were before each test."""
    before = [(shelf, dict(shelf)) for shelf in (METHODS, READOUTS, FORMATS, BASELINES)]
    yield
    for shelf, rows in before:
        shelf.clear()
        shelf.update(rows)


@pytest.fixture(scope="module")
def events():
    return list(cmlflow.simulate("compact-em", 2, seed=3, n_particles=2))


def test_every_section_has_its_test():
    titles = re.findall(r"^## Add an? (.*)$", PAGE, re.M)
    assert titles == ["loss", "head", "readout", "file format", "baseline"]
    assert re.findall(r"^\| ([a-z ]+) \|", PAGE, re.M)[1:] == titles


def test_a_loss(events):
    names = done("Add a loss")
    model = names["model"].set_params(network=NetworkConfig(k=4)).fit(events)
    record = model.history_.records[-1]
    assert any("pull" in key for key in record)
    assert any("push" in key for key in record)
    assert len(model.predict(events)) == 2


def test_the_pull_is_what_it_says():
    z, particle = torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [9.0, 9.0]]), torch.tensor([0, 0, 1, -1])
    terms = done("Add a loss")["Pull"](3.0)({"embedding": z}, particle)
    assert terms["pull"].item() == pytest.approx(2 / 3)
    assert terms["push"].item() == pytest.approx((3 - 2**0.5) ** 2)
    assert set(margin_loss(z, particle)) >= {"variance", "distance"}  # the packaged one of this kind


def test_a_head(events):
    done("Add a loss", "Add a head")
    settings = {"max_epochs": 1, "network": NetworkConfig(k=4)}
    model = cmlflow.MetricClusterer("deep", METHODS["deep"].readouts[0], **settings).fit(events)
    assert model.transform(events)[0].shape == (events[0].n_hits, 8)
    assert model.network_.head.layers[2].out_features == 8


def test_a_readout(events, tmp_path):
    done("Add a readout")
    model = cmlflow.MetricClusterer("slopes", "chunks").fit(events)
    model.tune(events)
    model.save(tmp_path)
    again = cmlflow.MetricClusterer.load(tmp_path)
    assert again.thresholds_["chunks"]["width"] in (0.25, 0.5, 1.0, 2.0)
    for a, b in zip(model.predict(events), again.predict(events), strict=True):
        assert a.max() >= 0
        np.testing.assert_array_equal(a, b)


def test_a_file_format(events, tmp_path, monkeypatch):
    names = done("Add a file format")
    module = types.ModuleType("cmlflow.io.lines")
    module.__dict__.update(names)
    monkeypatch.setitem(sys.modules, "cmlflow.io.lines", module)
    path = tmp_path / "events.jsonl"
    cmlflow.write(events, path)
    for event, again in zip(events, cmlflow.read(path), strict=True):
        for name in ("position", "energy", "layer", "particle_id"):
            np.testing.assert_array_equal(getattr(event, name), getattr(again, name))
    path.write_text("[[1, 2, 3, 4, 5]]\n")
    with pytest.raises(cmlflow.io.FormatError, match=r"events.jsonl, line 0"):
        cmlflow.read(path)


def test_a_baseline():
    done("Add a baseline")
    events = list(cmlflow.simulate("rhos-test", 4, seed=1))
    systems = run_systems("rho", events, Size("tiny", 4, 4, 4, 4, 4), {})
    for event, share in zip(events, systems.shares["equal shares"], strict=True):
        np.testing.assert_allclose(share.sum(0), 1.0)
        assert share.shape == (len(event.tracks), event.n_hits)

import json
import math
import shutil

import pytest

from cmlflow import MetricClusterer
from cmlflow.model_paths import find_model


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("parameters", "k", 10**9),
        ("parameters", "k", 2**70),
        ("parameters", "k", True),
        ("parameters", "dim", 10**9),
        ("parameters", "head", ["supcon"]),
        ("parameters", "head", "x"),
        ("parameters", "dropout", math.nan),
        ("parameters", "reassign", "5"),
        ("parameters", "min_share", "a"),
        ("parameters", "readout", 5),
        ("parameters", "device", "meta"),
        ("thresholds", "density", "x"),
        ("thresholds", "density", [1]),
        ("thresholds", "density", None),
        ("thresholds", "density", {"radius": "a"}),
        ("thresholds", "density", {"radius": math.nan}),
        ("thresholds", "density", {"foo": 1}),
        ("trained_on", "detector", 5),
        ("trained_on", "seen", []),
        ("trained_on", "seen", {"events": 0}),
        ("trained_on", "seen", {"ranges": {"x": [0, 1]}}),
        ("trained_on", "seen", {"ranges": {key: ["a"] for key in ("x", "y", "z", "energy", "layer")}}),
    ],
)
@pytest.mark.parametrize("new", [False, True])
def test_odd_fields_are_refused_with_the_name_of_the_file(tmp_path, part, name, value, new):
    folder = tmp_path / "model"
    if new:
        MetricClusterer.load("compact-em-supcon").save(folder)
    else:
        shutil.copytree(find_model("compact-em-supcon"), folder)
    config = json.loads((folder / "config.json").read_text())
    config[part][name] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json"):
        MetricClusterer.load(folder)

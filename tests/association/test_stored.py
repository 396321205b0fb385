import dataclasses
import json
import math
import shutil

import pytest

from cmlflow import ParticleFlow
from cmlflow.model_paths import find_model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds": None}, "rounds is None"),
        ({"rounds": -1}, "rounds is -1"),
        ({"pull": "x"}, "pull is 'x'"),
        ({"least": math.nan}, "least is nan"),
        ({"scale": []}, "cannot be read"),
        ({"scales": None}, "cannot be read"),
        ({"sharing": None}, "sharing or scale is missing"),
        ({"sharing.weights": []}, "0 rows of weights"),
        ({"sharing.centre": [1.0]}, "expected one length"),
        ({"sharing.scale": [1.0]}, "expected one length"),
        ({"sharing.nearest": "x"}, "sharing.nearest is 'x'"),
        ({"sharing.track_weight": None}, "sharing.track_weight is None"),
        ({"sharing.origin": [1.0]}, "sharing.origin has 1 numbers"),
    ],
)
def test_fields_are_checked_when_a_model_is_loaded(tmp_path, change, message):
    folder = tmp_path / "model"
    shutil.copytree(find_model("rho-supcon"), folder)
    state = json.loads((folder / "association.json").read_text())
    for name, value in change.items():
        outer, _, inner = name.rpartition(".")
        (state[outer] if outer else state)[inner] = value
    (folder / "association.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match=rf"association.json: .*{message}"):
        ParticleFlow.load(folder)


def test_packaged_associators_pass():
    assert dataclasses.is_dataclass(ParticleFlow.load("jets-oc").associator)

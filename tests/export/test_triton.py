"""Model repositories: what is written where, and the class that the server calls."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import cmlflow
from cmlflow import MetricClusterer
from cmlflow.cli import main
from cmlflow.export import export_triton
from cmlflow.export.backend import TritonPythonModel
from cmlflow.sampling import event_points

EVENT = cmlflow.simulate("compact-em-test", 1, seed=3, n_particles=1)[0]


class Tensor:
    """As that of triton_python_backend_utils: DLPack in and out."""

    def __init__(self, name, array):
        self.name, self.array = name, array

    @classmethod
    def from_dlpack(cls, name, array):
        assert array.size
        return cls(name, np.from_dlpack(array))

    def __dlpack__(self, **how):
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class InferenceResponse:
    def __init__(self, output_tensors=(), error=None):
        self.found, self.error = {t.name: t.array for t in output_tensors}, error


@pytest.fixture
def backend(monkeypatch):
    module = SimpleNamespace(
        Tensor=Tensor,
        InferenceResponse=InferenceResponse,
        TritonError=str,
        get_input_tensor_by_name=lambda request, name: Tensor(name, request[name]),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)


def test_model_in_the_server_answers_each_request(tmp_path, backend):
    version = export_triton("compact-em-supcon", tmp_path)
    model = TritonPythonModel()
    config = {"output": [{"name": "embedding", "dims": ["-1", "16"]}]}
    where = {"model_repository": str(version.parent), "model_version": version.name}
    model.initialize(where | {"model_config": json.dumps(config)})
    x = event_points(EVENT).x
    requests = [(x, [0, len(x)]), (x, [0, 1]), (x[:0], [0, 0])]
    good, bad, empty = model.execute([{"points": p, "ptr": np.array(b)} for p, b in requests])
    np.testing.assert_array_equal(good.found["labels"], MetricClusterer.load("compact-em-supcon").predict([EVENT])[0])
    assert good.error is None
    assert bad.error.startswith("ptr must rise")
    assert (empty.found["embedding"].shape, empty.found["labels"].shape) == ((0, 16), (0,))


def test_every_export_is_a_new_version(tmp_path, capsys):
    assert main(["export", "compact-em-supcon", "-o", str(tmp_path / "r"), "--triton", "python"]) == 0
    folder = tmp_path / "r" / "compact-em-supcon"
    assert capsys.readouterr().out == f"compact-em-supcon written to {folder / '1'}\n"
    model = MetricClusterer.load("compact-em-supcon", readout="clue")
    assert export_triton(model, tmp_path / "r", name="compact-em-supcon") == folder / "2"
    assert sorted(p.name for p in folder.iterdir()) == ["1", "2", "config.pbtxt"]
    assert sorted(p.name for p in (folder / "2").iterdir()) == ["model", "model.py"]
    assert MetricClusterer.load(folder / "2" / "model").readout == "clue"
    assert 'key: "readout" value: { string_value: "\\"clue\\"" }' in (folder / "config.pbtxt").read_text()
    command = ["export", str(folder / "1" / "model"), "-o", str(tmp_path / "s"), "--triton", "python"]
    assert main([*command, "--name", "other", "--instances", "2"]) == 0
    assert "count: 2" in (tmp_path / "s" / "other" / "config.pbtxt").read_text()


def test_what_cannot_be_served_is_refused(tmp_path):
    for settings, message in (
        ({"backend": "tensorrt"}, "backend is 'tensorrt', expected one of python, onnxruntime"),
        ({"name": "a/b"}, "name is 'a/b', expected letters"),
        ({"instances": 0}, "instances is 0, expected 1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            export_triton("compact-em-supcon", tmp_path, **settings)
    with pytest.raises(ValueError, match="name is None"):
        export_triton(MetricClusterer.load("compact-em-supcon"), tmp_path)
    with pytest.raises(ValueError, match="head is 'axes', which cannot be exported"):
        export_triton("compact-em-best", tmp_path, "onnxruntime")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "a"], "--name needs --triton"),
        (["--instances", "2"], "--instances needs --triton"),
        (["--triton", "python", "--no-readout"], "--no-readout does not go with --triton"),
        (["--triton", "python", "--opset", "17"], "--opset does not go with --triton"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, capsys, options, message):
    assert main(["export", "compact-em-supcon", "-o", str(tmp_path / "x"), *options]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

"""A real Triton server (of the nvidia-pytriton wheel) on free ports of this machine, and its client."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tritonclient.grpc", reason="needs the package tritonclient: extra serve")

import cmlflow
from cmlflow import MetricClusterer
from cmlflow.export import export_triton
from cmlflow.sampling import event_points
from cmlflow.serving import RemoteClusterer

WHEEL = importlib.util.find_spec("pytriton")
needs_server = pytest.mark.skipif(WHEEL is None, reason="needs the server in the wheel nvidia-pytriton")
READY_WITHIN = 180.0  # s: a server on a busy machine
EM = list(cmlflow.simulate("compact-em-test", 3, seed=3, n_particles=2))
FLOW = list(cmlflow.simulate("rho-test", 20, seed=3))
WITH_ONNXRUNTIME = '''"""The ONNX file of a model in the Python backend: the wheel has no onnxruntime backend."""

import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        names = ("points", "ptr")
        inputs = {n: np.array(np.from_dlpack(triton.get_input_tensor_by_name(request, n))) for n in names}
        wanted = request.requested_output_names()
        found = self.session.run(wanted, inputs)
        return triton.InferenceResponse([triton.Tensor.from_dlpack(n, a) for n, a in zip(wanted, found)])
'''


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def triton_server(repository, folder):
    """Run a server of a model repository; gives its gRPC port and its process."""
    root = Path(WHEEL.submodule_search_locations[0])
    backends = folder / "backends"
    shutil.copytree(root / "tritonserver" / "backends", backends)
    stub = backends / "python" / "triton_python_backend_stub"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    shutil.copy(root / "tritonserver" / "python_backend_stubs" / version / stub.name, stub)
    stub.chmod(0o755)
    libraries = [str(root.parent / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR") or ""]
    environment = os.environ | {
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": ":".join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")]),
        "CUDA_VISIBLE_DEVICES": "",
    }
    http, grpc = free_port(), free_port()
    command = [
        root / "tritonserver" / "bin" / "tritonserver", f"--model-repository={repository}",
        f"--backend-directory={backends}", "--http-address=127.0.0.1", f"--http-port={http}",
        "--grpc-address=127.0.0.1", f"--grpc-port={grpc}", "--allow-metrics=false", "--exit-timeout-secs=5",
    ]  # fmt: skip
    log = folder / "log.txt"
    with log.open("w") as out:
        here = Path(cmlflow.__file__).parents[1]  # the Python in the server looks here first
        process = subprocess.Popen(command, cwd=here, env=environment, stdout=out, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + READY_WITHIN
            while not ready(http):
                assert process.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < end, log.read_text()[-3000:]
                time.sleep(0.2)
            yield grpc, process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Port of a server with a clusterer, an OC model, one of particle flow, and the last as an ONNX file."""
    folder = tmp_path_factory.mktemp("triton")
    repository = folder / "repository"
    for name in ("compact-em-supcon", "compact-em-best", "rho-supcon"):
        export_triton(name, repository)
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        version = export_triton("rho-supcon", repository, "onnxruntime", name="rho-onnx")
        (version / "model.py").write_text(WITH_ONNXRUNTIME)
        config = version.parent / "config.pbtxt"
        config.write_text(config.read_text().replace('backend: "onnxruntime"', 'backend: "python"'))
    with triton_server(repository, folder) as (port, process):
        yield f"127.0.0.1:{port}"
    assert process.poll() is not None
    assert not answers(port)


@needs_server
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "local", "events"),
    [
        ("compact-em-supcon", "compact-em-supcon", EM),
        ("compact-em-best", "compact-em-best", EM[:2]),
        ("rho-supcon", "rho-supcon", FLOW),
        ("rho-onnx", "rho-supcon", FLOW),
    ],
)
def test_the_server_gives_what_the_model_gives(server, name, local, events):
    if name == "rho-onnx":
        pytest.importorskip("onnxruntime")
    model = MetricClusterer.load(local)
    want, z = model.predict(events), model.transform(events)
    for together in (1, 100_000):
        with RemoteClusterer(server, name, hits_per_request=together) as remote:
            for have, label in zip(remote.predict(events), want, strict=True):
                np.testing.assert_array_equal(have, label)
            for have, expected in zip(remote.transform(events), z, strict=True):
                np.testing.assert_allclose(have, expected, atol=1e-4)
            assert remote.about["head"] == model.head


@needs_server
@pytest.mark.slow
def test_bad_requests_are_told_and_the_server_goes_on(server):
    remote = RemoteClusterer(server, "compact-em-supcon")
    x = event_points(EM[0]).x[:50]
    with pytest.raises(ValueError, match=r"ptr must rise from 0 to the number of points 50, got \[0, 60\]"):
        remote.infer(x, [0, 60])
    with pytest.raises(ValueError, match="unexpected shape for input 'points'"):
        remote.infer(x[:, :4], [0, 50])
    with pytest.raises(ValueError, match="layers that are not whole numbers"):
        remote.infer(x + np.float32(0.5), [0, 50])
    bad = x.copy()
    bad[3, 1] = np.nan
    with pytest.raises(ValueError, match="event"):
        remote.infer(bad, [0, 50])
    with pytest.raises(ValueError, match=r"no model 'absent' on the server, there are: compact-em-best, compact-em-s"):
        RemoteClusterer(server, "absent")
    (labels,) = remote.infer(x, [0, 0, 50, 50])
    assert labels.shape == (50,)


@needs_server
@pytest.mark.slow
@pytest.mark.parametrize("name", ["compact-em-supcon", "rho-supcon"])
def test_events_without_hits_are_answered(server, name):
    remote = RemoteClusterer(server, name)
    empty = cmlflow.Event(np.zeros((0, 3)), [], [])
    (labels,), (z,) = remote.predict([empty]), remote.transform([empty])
    assert (labels.shape, labels.dtype, z.shape) == ((0,), np.int64, (0, 16))
    one = cmlflow.Event([[1, 2, 350]], [5.0], [3])
    assert [len(found) for found in remote.predict([empty, one, empty])] == [0, 1, 0]
    assert remote.predict([]) == []


def test_no_server_is_told():
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:\d+: the Triton server does not answer"):
        RemoteClusterer(f"127.0.0.1:{free_port()}", "compact-em-supcon", timeout=5)


def test_configuration_is_what_the_server_reads(tmp_path):
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as triton

    pytest.importorskip("onnx", reason="needs the package onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    version = export_triton("rho-oc", tmp_path, "onnxruntime", name="rho", instances=3)
    assert version == tmp_path / "rho" / "1"
    config = text_format.Parse((tmp_path / "rho" / "config.pbtxt").read_text(), triton.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == ("rho", "onnxruntime", 0)
    assert config.instance_group[0].count == 3
    session = onnxruntime.InferenceSession(version / "model.onnx", providers=["CPUExecutionProvider"])
    types = {"tensor(float)": triton.TYPE_FP32, "tensor(int64)": triton.TYPE_INT64}
    for listed, there in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        want = [(t.name, types[t.type], [d if isinstance(d, int) else -1 for d in t.shape]) for t in there]
        assert [(t.name, t.data_type, list(t.dims)) for t in listed] == want
    about = {key: value.string_value for key, value in config.parameters.items()}
    assert about.items() >= session.get_modelmeta().custom_metadata_map.items()
    assert json.loads(about["features"])[-1] == "momentum"

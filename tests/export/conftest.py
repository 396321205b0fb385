"""How the tests run ONNX models: with onnxruntime, on one thread."""

import numpy as np
import pytest


def open_session(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def session():
    """``session(model)``: a file or bytes made ready to run."""
    return open_session


@pytest.fixture(scope="session")
def run():
    """``run(model, **inputs) -> dict`` of outputs of a file, of bytes, or of a finished session."""

    def run_model(model, **inputs):
        ready = model if hasattr(model, "run") else open_session(model)
        names = [output.name for output in ready.get_outputs()]
        return dict(zip(names, ready.run(names, {k: np.asarray(v) for k, v in inputs.items()}), strict=True))

    return run_model


@pytest.fixture(scope="session")
def evaluate(run):
    """``evaluate(function, **arrays)``: what a function of graph values gives for arrays, as a list."""
    from cmlflow.export.graph import Graph

    def evaluate_function(function, opset=15, **arrays):
        graph = Graph(opset)
        values = {name: graph.input(name, a.dtype, [f"{name}{i}" for i in range(a.ndim)]) for name, a in arrays.items()}
        for i, value in enumerate(function(**values)):
            graph.output(f"out{i}", value)
        return list(run(graph.model("test", {}).SerializeToString(), **arrays).values())

    return evaluate_function

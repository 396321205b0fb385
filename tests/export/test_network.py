"""Networks in ONNX give what they give in torch."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

import torch

from cmlflow.export.network import outputs, widths
from cmlflow.methods import build_network
from cmlflow.nets.backbones.scaling import SCALINGS
from cmlflow.nets.network import fit_scaling
from cmlflow.sampling import collate
from cmlflow.simulation import simulate

EVENTS = {False: simulate("compact-em", 3, seed=4, n_particles=2), True: simulate("rho", 12, seed=4)}
CASES = [("supcon", "raw", False), ("supcon", "standard", True), ("margin", "hgcal", False), ("oc", "standard", False)]
CASES += [("oc", "projective", True), ("prototype", "projective", False), ("prototype", "standard", False)]


def sample(tracks):
    events = [e for e in EVENTS[tracks] if e.n_hits > 1]
    return events[: 8 if tracks else 1]


@pytest.mark.parametrize(("head", "scaling", "tracks"), CASES)
def test_outputs_are_those_of_torch(evaluate, head, scaling, tracks):
    assert scaling in SCALINGS
    network = build_network(head, dim=6, k=10, scaling=scaling, tracks=tracks).eval()
    fit_scaling(network, EVENTS[tracks], tracks)
    for event in sample(tracks):
        x = collate([event], tracks).x
        x = x[np.lexsort(x.numpy().T[::-1])][:1500]
        with torch.inference_mode():
            want = network(x)
        if "origin" in want:
            want["origin"] = want["origin"].softmax(1)
        names = list(widths(network))
        assert sorted(names) == sorted(want)

        def function(x, network=network, names=names):
            found = outputs(network, x)
            return [found[name] for name in names]

        for name, have in zip(names, evaluate(function, x=x.numpy()), strict=True):
            expected = want[name].numpy()
            assert have.shape == expected.shape
            assert widths(network)[name] == (None if have.ndim == 1 else have.shape[1])
            spread = np.abs(expected - expected.mean(0)).max() + 1e-3
            wrong = np.abs(have - expected) > 1e-3 * spread  # raw inputs of hundreds of cm lose digits
            assert wrong.mean() < 0.002


def test_slopes_are_those_of_the_embedder(evaluate):
    from cmlflow.embedders import SlopesEmbedder

    event = EVENTS[False][0]
    (want,) = SlopesEmbedder().embed([event])
    (have,) = evaluate(lambda x: [outputs(None, x)["embedding"]], x=event.inputs())
    np.testing.assert_allclose(have, want.z, rtol=1e-6)


def test_other_networks_are_refused(evaluate):
    network = build_network("supcon")
    network.head = torch.nn.Linear(32, 4)
    with pytest.raises(ValueError, match="head is Linear, expected EmbeddingHead"):
        evaluate(lambda x: [outputs(network, x)["embedding"]], x=EVENTS[False][0].inputs()[:100])
    network.backbone = torch.nn.Linear(5, 32)
    with pytest.raises(ValueError, match="backbone is Linear, expected EdgeConvBackbone"):
        evaluate(lambda x: [outputs(network, x)["embedding"]], x=EVENTS[False][0].inputs()[:100])

"""The network goes through `torch.export`, and what comes out gives the same to the last bit."""

import pytest
import torch

import cmlflow
from cmlflow.methods import build_network
from cmlflow.nets.backbones import operators
from cmlflow.sampling import collate

SAMPLES = {
    False: list(cmlflow.simulate("compact-em", 3, seed=4, n_particles=1)),
    True: list(cmlflow.simulate("rho", 9, seed=4)),
}


@pytest.mark.parametrize(("head", "tracks"), [("supcon", False), ("oc", True), ("prototype", False)])
def test_exported_network_gives_the_same(tmp_path, head, tracks):
    network = build_network(head, k=8, scaling="projective", tracks=tracks).eval()
    first, other = (collate(SAMPLES[tracks][part], tracks) for part in (slice(2), slice(2, None)))
    n, b = torch.export.Dim("n", min=2), torch.export.Dim("b", min=2)
    program = torch.export.export(network, (first.x, first.ptr), dynamic_shapes=({0: n}, {0: b}))
    torch.export.save(program, tmp_path / "network.pt2")
    for exported in (program.module(), torch.export.load(tmp_path / "network.pt2").module()):
        for batch in (first, other, collate(SAMPLES[tracks][:1], tracks)):
            with torch.inference_mode():
                want = network(batch.x, batch.ptr)
            have = exported(batch.x, batch.ptr)
            assert sorted(have) == sorted(want)
            assert all(torch.equal(have[name], want[name]) for name in want)


def test_one_event_needs_no_bounds():
    network = build_network("supcon", k=8, scaling="hgcal").eval()
    x, y = (collate([event]).x for event in SAMPLES[False][:2])
    program = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
    with torch.inference_mode():
        want = network(y)["embedding"]
    assert torch.equal(program.module()(y)["embedding"], want)


def test_operators_say_what_shapes_they_give():
    x, ptr = torch.randn(50, 5), torch.tensor([0, 20, 50])
    torch.library.opcheck(operators.event_order, (x, ptr))
    torch.library.opcheck(operators.neighbours, (x, ptr, 8))
    torch.library.opcheck(operators.event_sums, (x, ptr))
    near = operators.neighbours(x, ptr, 8)
    torch.library.opcheck(operators.max_edges, (x, x, near, torch.randn(7, 5)))

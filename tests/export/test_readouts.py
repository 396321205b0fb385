"""Readouts in ONNX give the labels of the readouts in Python."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

from cmlflow.export.readouts import hits_first, labels
from cmlflow.prediction.readout import shared_numbers
from cmlflow.readouts import Clue, Condensation, Density

RNG = np.random.default_rng(2)


def groups(n_each, dim, spread):
    return np.concatenate([RNG.normal(c, spread, size=(n, dim)) for n, c in zip(n_each, np.eye(dim) * 2, strict=False)])


CLOUDS = {
    "one": RNG.normal(size=(1, 4)),
    "two": RNG.normal(size=(2, 4)),
    "few": RNG.normal(size=(20, 4)),
    "groups": groups([150, 80, 40, 3], 4, 0.15),
    "overlap": groups([300, 200], 4, 0.6),
    "all equal": np.ones((40, 4)),
    "lattice": RNG.integers(1, 5, size=(300, 2)).astype(float),
}
SETTINGS = [
    Density(k=24, threshold=0.4, radius=0.45),
    Density(k=3, temperature=0.3, threshold=0.6, radius=0.8, normalize=False),
    Density(k=5, threshold=0.2, radius=0.3, assign_rest=False),
    Density(threshold=2.0),  # no candidate
    Condensation(threshold=0.1, radius=0.5),
    Condensation(threshold=0.9, radius=0.5, assign_rest=False),
    Clue(density_radius=0.1, link_distance=0.3),
    Clue(density_radius=0.5, link_distance=0.6, min_density=3.0, normalize=False),
    Clue(density_radius=0.3, link_distance=0.4, min_density=5.0, outlier_distance=0.3, kernel="gaussian"),
    Clue(density_radius=0.3, link_distance=0.2, min_density=1e9, outlier_distance=0.1),
]


@pytest.mark.parametrize("readout", SETTINGS, ids=str)
@pytest.mark.parametrize("name", CLOUDS)
def test_labels_are_those_of_the_readout(evaluate, name, readout):
    z = CLOUDS[name].astype(np.float32)
    beta = RNG.uniform(0.01, 0.99, size=len(z)).round(1).astype(np.float32)  # rounded, so that some are equal
    weight = RNG.exponential(size=len(z)).astype(np.float32)
    width = z.shape[1]
    (have,) = evaluate(
        lambda z, beta, weight: [labels(readout, z, width, beta, weight)], z=z, beta=beta, weight=weight
    )  # fmt: skip
    points = np.concatenate([beta[:, None], z], 1) if isinstance(readout, Condensation) else z
    extra = {"sample_weight": weight} if isinstance(readout, Clue) else {}
    np.testing.assert_array_equal(have, readout.fit_predict(points, **extra))


def test_order_of_the_points_does_not_matter(evaluate):
    z, weight = CLOUDS["lattice"].astype(np.float32), np.ones(300, np.float32)
    mixed = RNG.permutation(300)
    for readout in (Density(normalize=False, k=4), Clue(normalize=False, density_radius=1.5)):
        one, other = (
            evaluate(lambda z, weight, r=readout: [labels(r, z, 2, None, weight)], z=z[order], weight=weight)[0]
            for order in (np.arange(300), mixed)
        )
        np.testing.assert_array_equal(one[mixed], other)


@pytest.mark.parametrize("n", [1, 6, 50])
def test_clusters_with_hits_come_first(evaluate, n):
    label = RNG.integers(-1, min(8, n), size=n)
    is_track = RNG.random(n) < 0.5
    (have,) = evaluate(lambda label, is_track: [hits_first(label, is_track)], label=label, is_track=is_track)
    hits, tracks = shared_numbers(label[~is_track], label[is_track])
    np.testing.assert_array_equal(have[~is_track], hits)
    np.testing.assert_array_equal(have[is_track], tracks)

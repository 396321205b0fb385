import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cmlflow.readouts.greedy import greedy_centres, greedy_sweep

LATTICE = st.integers(0, 14).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float64, (n, 2), elements=st.integers(-3, 3).map(float)),
        hnp.arrays(np.float64, (n,), elements=st.integers(0, 4).map(lambda s: s / 4)),
    )
)


@settings(deadline=None, max_examples=60)
@given(LATTICE, st.sampled_from([-1.0, 0.0, 0.3, 0.5, 2.0]), st.sampled_from([0.0, 1.0, 1.5, 2.0, 5.0]))
def test_equals_the_hit_by_hit_twin_where_everything_ties(greedy_twin, cloud, threshold, radius):
    x, score = cloud
    labels = greedy_centres(x, score, threshold, radius)
    assert labels.dtype == np.int64
    if radius > 0:
        np.testing.assert_array_equal(labels, greedy_twin(x, score, threshold, radius))


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_twin_on_random_points(greedy_twin, seed):
    rng = np.random.default_rng(seed)
    x, score = rng.normal(size=(80, 3)), rng.random(80)
    for threshold, radius in [(0.1, 0.5), (0.5, 1.0), (0.9, 0.3), (1.0, 1.0)]:
        np.testing.assert_array_equal(
            greedy_centres(x, score, threshold, radius), greedy_twin(x, score, threshold, radius)
        )


@settings(deadline=None, max_examples=60)
@given(LATTICE, st.permutations(range(14)))
def test_does_not_depend_on_the_order_of_hits(cloud, permutation):
    x, score = cloud
    order = np.array([i for i in permutation if i < len(x)], int)
    labels = greedy_centres(x, score, 0.2, 1.5)
    np.testing.assert_array_equal(greedy_centres(x[order], score[order], 0.2, 1.5), labels[order])


def test_sweep_equals_one_run_per_threshold():
    rng = np.random.default_rng(0)
    x, score = rng.normal(size=(60, 2)), rng.random(60).round(1)
    thresholds = [0.5, 0.0, 2.0, 0.9, 0.5]
    for rest in (True, False):
        swept = greedy_sweep(x, score, thresholds, 0.6, rest)
        for threshold, labels in zip(thresholds, swept, strict=True):
            np.testing.assert_array_equal(labels, greedy_centres(x, score, threshold, 0.6, rest))
    assert not np.shares_memory(swept[0], swept[4])


def test_rest_stays_noise_on_request():
    x = np.array([[0.0], [0.1], [1.0]])
    np.testing.assert_array_equal(greedy_centres(x, np.array([1.0, 0.0, 0.0]), 0.5, 0.5, assign_rest=False), [0, 0, -1])


def test_radius_is_open_for_claims_and_closed_for_centres():
    x, score = np.array([[0.0], [1.0]]), np.array([0.9, 0.8])
    np.testing.assert_array_equal(greedy_centres(x, score, 0.5, 1.0), [0, 1])
    np.testing.assert_array_equal(greedy_centres(x, score, 0.5, 1.0 + 1e-9), [0, 0])


def test_one_pass_per_centre():
    """200,000 hits in three groups: a loop over hits or pairs would take minutes."""
    rng = np.random.default_rng(0)
    group = rng.integers(3, size=200_000)
    x = np.eye(3)[group] + 0.01 * rng.normal(size=(200_000, 3))
    labels = greedy_centres(x, rng.random(200_000), 0.1, 0.5)
    assert len(set(zip(labels.tolist(), group.tolist(), strict=True))) == 3

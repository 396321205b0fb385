"""The slow twin of the greedy readouts, embeddings of one event, and equality of clusters."""

import numpy as np
import pytest


def greedy(x, score, threshold, radius):
    """Hit by hit, as the text of the method says."""
    x = np.asarray(x, float)
    order = sorted(range(len(x)), key=lambda i: (-score[i], *x[i]))
    kept = []
    for i in order:
        if score[i] > threshold and all(np.sum((x[i] - x[c]) ** 2) >= radius**2 for c in kept):
            kept.append(i)
    if not kept and len(x):
        kept = [order[0]]
    labels = [-1] * len(x)
    for number, c in enumerate(kept):
        labels[c] = number if labels[c] < 0 else labels[c]
        for i in range(len(x)):
            if labels[i] < 0 and np.sum((x[i] - x[c]) ** 2) < radius**2:
                labels[i] = number
    for i in range(len(x)):
        if labels[i] < 0:
            labels[i] = int(np.argmin([np.sum((x[i] - x[c]) ** 2) for c in kept]))
    return np.array(labels, np.int64)


@pytest.fixture(scope="session")
def greedy_twin():
    return greedy


@pytest.fixture(scope="session")
def blobs():
    """Embeddings of one event: unit vectors around a few directions."""

    def make(n, dim=16, centres=5, spread=0.05, seed=0):
        rng = np.random.default_rng(seed)
        centre = rng.normal(size=(centres, dim))
        centre /= np.linalg.norm(centre, axis=1, keepdims=True)
        z = centre[rng.integers(centres, size=n)] + spread * rng.normal(size=(n, dim))
        return z.astype(np.float32)

    return make


@pytest.fixture(scope="session")
def same_partition():
    """Whether two label arrays mean the same clusters, names apart (-1 must stay -1)."""

    def same(a, b):
        a, b = np.asarray(a), np.asarray(b)
        pairs = set(zip(a.tolist(), b.tolist(), strict=True))
        one_to_one = len({p for p, _ in pairs}) == len({q for _, q in pairs}) == len(pairs)
        return one_to_one and bool(np.array_equal(a == -1, b == -1))

    return same

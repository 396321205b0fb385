"""The labels of the packaged models, kept in a file: a change of the code must not change them.

``python tests/test_packaged_labels.py`` writes the file again, for new weights or changes that are meant to change
labels.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from cmlflow import MetricClusterer, simulate
from cmlflow.model_paths import packaged_models

GOLDEN = Path(__file__).parent / "golden" / "labels.json"


def cluster_sizes(name):
    """Sizes of the clusters of each event, noise first: they hardly depend on the processor, labels of hits may."""
    model = MetricClusterer.load(name)
    sample = {"pi-guns": "pi-gun-2-5"}.get(model.trained_on_["sample"], model.trained_on_["sample"])
    few = {} if model.tracks else {"n_particles": 3}
    events = simulate(f"{sample}-test", 20 if model.tracks else 2, seed=7, **few)
    return [np.bincount(labels + 1).tolist() for labels in model.predict(events)]


@pytest.mark.parametrize("name", packaged_models())
def test_labels_are_those_on_file(name):
    golden = json.loads(GOLDEN.read_text())[name]
    for found, expected in zip(cluster_sizes(name), golden, strict=True):
        assert len(found) == len(expected)
        assert np.abs(np.subtract(found, expected)).sum() <= 0.002 * sum(expected)


if __name__ == "__main__":
    rows = (f'  "{name}": {json.dumps(cluster_sizes(name))}' for name in packaged_models())
    GOLDEN.write_text("{\n" + ",\n".join(rows) + "\n}\n")

"""The first events of every small sample, kept in a file: published figures mean these events and no others.

``python tests/simulation/test_golden.py`` writes the file again, for changes that are meant to change the samples;
every result in ``benchmarks/results`` and every packaged model then belongs to samples that no longer are.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import cmlflow
from cmlflow.simulation import SAMPLES, SLAB_SAMPLES

GOLDEN = Path(__file__).parents[1] / "golden" / "samples.json"
NAMES = sorted([*(name for name in SAMPLES if name.startswith("compact")), *SLAB_SAMPLES])


def summary(name):
    out = []
    for e in cmlflow.simulate(name, 2, seed=5):
        position = np.average(e.position.astype(np.float64), axis=0, weights=e.energy)
        tracks = [] if e.tracks is None else e.tracks.momentum.tolist()
        out.append(
            {
                "hits": e.n_hits,
                "deposits": len(e.deposits.hit),
                "energy": float(e.energy.sum(dtype=np.float64)),
                "position": position.tolist(),
                "particles": [[int(p), float(v)] for p, v in zip(e.particles.pdg_id, e.particles.energy, strict=True)],
                "tracks": tracks,
            }
        )
    return out


@pytest.mark.parametrize("name", NAMES)
def test_events_are_those_on_file(name):
    golden = json.loads(GOLDEN.read_text())
    for found, kept in zip(summary(name), golden[name], strict=True):
        for key in ("hits", "deposits"):
            assert found[key] == kept[key], key
        for key in ("energy", "position", "tracks"):
            assert found[key] == pytest.approx(kept[key], rel=1e-5, abs=1e-4), key
        assert np.ravel(found["particles"]) == pytest.approx(np.ravel(kept["particles"]), rel=1e-5)


def test_every_sample_is_on_file():
    assert sorted(json.loads(GOLDEN.read_text())) == NAMES


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(summary(name))}" for name in NAMES]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")

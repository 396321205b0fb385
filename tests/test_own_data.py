"""From files of one's own to scored clusters: the examples of foreign data run, in at most ten lines each."""

import ast
import csv
import importlib.util
import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

EXAMPLES = Path(__file__).parents[1] / "examples" / "own_data"
external = pytest.mark.skipif("CMLFLOW_EXTERNAL_DATA" not in os.environ, reason="CMLFLOW_EXTERNAL_DATA is not set")


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def showers(n_events=30, n_particles=3, n_hits=20, seed=0):
    """Narrow showers of a toy detector [mm], their particles with numbers of a simulation."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n_events):
        of = np.repeat(np.arange(n_particles), n_hits)
        layer = rng.integers(0, 10, len(of))
        z = 3000.0 + 50 * layer
        slope = rng.uniform(-0.3, 0.3, (n_particles, 2))[of]
        x, y = (slope * z[:, None] + rng.normal(0, 12, (len(of), 2))).T
        numbers = rng.choice(5000, n_particles, replace=False)
        time = 10 + 5.0 * of + rng.normal(0, 0.5, len(of))
        energy = rng.exponential(1, len(of)) + 0.1
        out.append({"x": x, "y": y, "z": z, "e": energy, "layer": layer, "truth": numbers[of], "time": time, "of": of})
    return out


def good(scores, n_particles):
    assert scores.n_particles == n_particles
    assert float(scores.efficiency) > 0.7
    assert float(scores.purity) > 0.7  # one cluster for everything has 0


def test_own_root_tree(tmp_path):
    events = showers()
    columns = {n: ak.Array([e[n] for e in events]) for n in ("x", "y", "z", "e", "layer", "truth", "time")}
    with uproot.recreate(tmp_path / "mine.root") as file:
        file.mktree(
            "events", {f"hit_{n}": f"var * {'int64' if n in ('layer', 'truth') else 'float64'}" for n in columns}
        )
        file["events"].extend({f"hit_{n}": values for n, values in columns.items()})
        file["runs"] = {"run": np.ones(1)}
    scores = example("root_tree").main(tmp_path / "mine.root")
    good(scores, 18)


def test_csv_with_a_row_for_each_hit(tmp_path):
    with open(tmp_path / "hits.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["event", "x", "y", "z", "energy", "layer", "track_id"])
        for i, e in enumerate(showers()):
            rows = zip(*(e[n].tolist() for n in ("x", "y", "z", "e", "layer", "truth")), strict=True)
            writer.writerows((i, *row) for row in rows)
    scores = example("csv_table").main(tmp_path / "hits.csv")
    good(scores, 18)


def podio_file(path, events):
    """The events as podio writes them into RNTuples; one contribution for each hit."""

    def records(**fields):
        return ak.zip({name: ak.Array(list(values)) for name, values in fields.items()}, depth_limit=2)

    def vectors(xs, ys, zs):
        return ak.zip({"x": ak.Array(xs), "y": ak.Array(ys), "z": ak.Array(zs)})

    def of(name):
        return [e[name] for e in events]

    counts, n = [np.arange(len(e["e"])) for e in events], [3] * len(events)
    numbers = {"Steps": 7, "MCParticles": 5, "Cal": 3}
    hit = {"cellID": counts, "energy": of("e"), "contributions_begin": counts}
    hit |= {"contributions_end": [c + 1 for c in counts], "position": vectors(of("x"), of("y"), of("z"))}
    zero = [np.zeros(k) for k in n]
    particle = {"PDG": [np.full(k, 22) for k in n], "generatorStatus": [np.ones(k, int) for k in n], "mass": zero}
    particle |= {"momentum": vectors(zero, zero, [np.full(k, 9.0) for k in n])}
    particle |= {name: [np.zeros(k, int) for k in n] for name in ("parents_begin", "parents_end")}
    kinds = {"Cal": "SimCalorimeterHit", "Steps": "CaloHitContribution", "MCParticles": "MCParticle"}
    table = {"name": [list(numbers)], "collectionID": [list(numbers.values())]}
    table["dataType"] = [[f"edm4hep::{kinds[name]}Collection" for name in numbers]]
    with uproot.recreate(path) as file:
        frames = {
            "Cal": records(**hit),
            "_Cal_contributions": records(index=counts, collectionID=[np.full(len(c), 7) for c in counts]),
            "Steps": records(energy=of("e"), time=of("time")),
            "_Steps_particle": records(index=of("of"), collectionID=[np.full(len(c), 5) for c in counts]),
            "MCParticles": records(**particle),
        }
        file.mkrntuple("events", frames)
        file.mkrntuple("podio_metadata", {"events___CollectionTypeInfo": ak.zip(table)})


def test_frames_of_podio_in_rntuples(tmp_path):
    podio_file(tmp_path / "sim.root", showers())
    scores = example("podio_rntuple").main(tmp_path / "sim.root")
    good(scores, 18)


def test_a_barrel():
    scores = example("barrel").main()
    good(scores, 32)


@external
@pytest.mark.slow
def test_belle2():
    path = Path(os.environ["CMLFLOW_EXTERNAL_DATA"]) / "belle2" / "bbbar_train.parquet"
    scores = example("belle2").main(path, max_epochs=5)
    assert scores.n_events == 24
    assert float(scores.efficiency) > 0.3


@external
@pytest.mark.slow
@pytest.mark.parametrize("name", ["odd_pi_10GeV", "clic_gamma_10GeV"])
def test_single_particles_of_key4hep(name):
    path = Path(os.environ["CMLFLOW_EXTERNAL_DATA"]) / "edm4hep" / f"{name}.root"
    scores = example("edm4hep_overlay").main(path, n_events=12, max_epochs=2)
    assert (scores.n_events, scores.n_particles) == (4, 9)
    assert float(scores.efficiency) > 0.3


def test_examples_are_ten_lines_long():
    names = sorted(path.stem for path in EXAMPLES.glob("*.py"))
    assert names == ["barrel", "belle2", "csv_table", "edm4hep_overlay", "podio_rntuple", "root_tree"]
    for name in names:
        tree = ast.parse((EXAMPLES / f"{name}.py").read_text())
        (main,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
        first = main.body[1].lineno  # after the docstring
        assert main.end_lineno - first + 1 <= 10, name

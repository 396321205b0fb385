"""Whole models as ONNX files: the labels of `predict`, whatever the order of the hits and the other events."""

import copy
import json
from functools import cache

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

import cmlflow  # noqa: E402
from cmlflow import MetricClusterer  # noqa: E402
from cmlflow.cli import main  # noqa: E402
from cmlflow.event import Tracks  # noqa: E402
from cmlflow.export import export_onnx  # noqa: E402
from cmlflow.export.points import predict_points  # noqa: E402
from cmlflow.export.source import source_of  # noqa: E402
from cmlflow.readouts import Clue, Density  # noqa: E402
from cmlflow.sampling import event_points  # noqa: E402

EM, HAD = (list(cmlflow.simulate(f"compact-{kind}-test", 3, seed=3, n_particles=2)) for kind in ("em", "had"))
FLOW = [*cmlflow.simulate("rho-test", 12, seed=3), *cmlflow.simulate("jets-test", 8, seed=3)]
PACKAGED = {"compact-em-supcon": EM, "compact-em-oc": EM, "compact-had-supcon": HAD, "compact-had-oc": HAD}
PACKAGED |= {"rho-supcon": FLOW, "rho-oc": FLOW, "jets-supcon": FLOW, "jets-oc": FLOW}
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, session):
    """``exported(model, **settings)``: a session of the file that a model or its name becomes."""
    folder = tmp_path_factory.mktemp("onnx")

    @cache
    def of(model, **settings):
        return session(export_onnx(model, folder / "model.onnx", **settings))

    return of


def batch(events, tracks=False):
    points = [event_points(e, tracks).x for e in events]
    return {"points": np.concatenate(points), "ptr": np.cumsum([0, *map(len, points)])}


@pytest.mark.parametrize("name", PACKAGED)
def test_labels_and_embeddings_are_those_of_the_model(exported, run, name):
    model, events = MetricClusterer.load(name), PACKAGED[name]
    out = run(exported(name), **batch(events, model.tracks))
    stops = batch(events, model.tracks)["ptr"]
    found = zip(events, model.iter(events), model.iter_embeddings(events), stops[:-1], strict=True)
    for event, want, embedding, start in found:
        rows = slice(start, start + event.n_hits)
        np.testing.assert_array_equal(out["labels"][rows], want.labels)
        points = slice(start, start + len(embedding.points))
        z = out["coordinates" if "coordinates" in out else "embedding"][points]
        assert (np.abs(z - embedding.z) > 1e-4).any(1).mean() < 0.01  # near ties of neighbours fall either way
        if model.tracks:
            np.testing.assert_allclose(out["origin"][rows], want.origin, atol=1e-4)
            label = out["labels"][points][event.n_hits :]
            whole = [set(label[embedding.points.track[event.n_hits :] == t]) for t in range(len(event.tracks))]
            assert all(own in each for own, each in zip(want.track_labels, whole, strict=True))


def test_any_order_of_the_hits_gives_the_same_bits(exported, run):
    for name, event in (("compact-em-supcon", EM[0]), ("compact-had-oc", HAD[0]), ("rho-supcon", FLOW[15])):
        x = event_points(event, name.startswith("rho")).x
        order = RNG.permutation(len(x))
        one, other = (run(exported(name), points=p, ptr=[0, len(x)]) for p in (x, x[order]))
        for key, value in one.items():
            assert value[order].tobytes() == other[key].tobytes()


def test_events_do_not_depend_on_what_else_is_in_the_batch(exported, run):
    for name, events in (("compact-em-oc", EM), ("rho-supcon", FLOW[:4])):
        tracks = name.startswith("rho")
        points = [event_points(e, tracks).x for e in events]
        parts = [points[0][:0], points[0], points[0][:1], points[1][:0], points[1][:7], points[2], points[2][:0]]
        ptr = np.cumsum([0, *map(len, parts)])
        together = run(exported(name), points=np.concatenate(parts), ptr=ptr)
        for part, start, stop in zip(parts, ptr[:-1], ptr[1:], strict=True):
            alone = run(exported(name), points=part, ptr=[0, len(part)])
            for key, value in alone.items():
                assert value.tobytes() == together[key][start:stop].tobytes()
                assert len(value) == len(part)
        assert run(exported(name), points=points[0][:0], ptr=[0])["labels"].shape == (0,)


@pytest.mark.parametrize("n", [1, 2, 5, 24, 25, 31, 32, 33, 63, 64, 65, 100, 129, 300])
def test_events_of_any_size(exported, run, n):
    model = MetricClusterer.load("compact-em-supcon")
    whole = EM[0]
    event = cmlflow.Event(whole.position[:n], whole.energy[:n], whole.layer[:n])
    x = event_points(event).x
    out = run(exported("compact-em-supcon"), points=x, ptr=[0, len(x)])
    np.testing.assert_array_equal(out["labels"], model.predict([event])[0])


def test_tracks_of_one_momentum_share_their_energy_among_their_own_points(run, evaluate):
    from cmlflow.export.model import point_weight

    crossing = np.full((3, 4, 3), np.nan, np.float32)
    crossing[:2, :3] = RNG.normal(size=(2, 3, 3))  # two tracks of equal momentum and three points each
    tracks = Tracks([5, 5, 7], np.tile([0, 0, 1], (3, 1)), RNG.normal(size=(3, 3)), [-1, -1, -1], crossing)
    event = cmlflow.Event(RNG.normal(size=(6, 3)), RNG.exponential(size=6), np.ones(6), tracks=tracks)
    points = event_points(event, tracks=True)
    (have,) = evaluate(lambda x: [point_weight(x, True)], x=points.x)
    np.testing.assert_array_equal(have, points.weight)


@pytest.mark.parametrize("head", ["supcon", "margin", "prototype", "oc", "slopes"])
def test_every_head_with_every_readout(exported, run, head):
    settings = {} if head == "slopes" else {"max_epochs": 1, "dim": 4}
    model = MetricClusterer(head, **settings).fit(EM[:1])
    readouts = ["density", "clue", "condensation"] if head == "oc" else ["density", "clue"]
    for readout in readouts:
        model = copy.copy(model).set_params(readout=readout)
        out = run(exported(model), **batch(EM[1:2]))
        agree = (out["labels"] == model.predict(EM[1:2])[0]).mean()
        assert agree > 0.99  # of a network that has hardly learned, many scores nearly tie


@pytest.mark.parametrize("opset", [15, 17, 18, 19, 20, 21])
def test_opsets(tmp_path, run, opset):
    path = export_onnx("rho-supcon", tmp_path / "m.onnx", opset=opset)
    model = onnx.load(path)
    assert [entry.version for entry in model.opset_import] == [opset]
    np.testing.assert_array_equal(
        run(path, **batch(FLOW, True))["labels"], run(export_onnx("rho-supcon", path), **batch(FLOW, True))["labels"]
    )


def test_file_says_what_it_is(tmp_path):
    model = MetricClusterer.load("rho-supcon", readout=Clue(density_radius=0.2))
    stored = onnx.load(export_onnx(model, tmp_path / "m.onnx"))
    assert stored.ir_version == 8
    assert {node.domain for node in stored.graph.node} == {""}
    about = {p.key: p.value for p in stored.metadata_props}
    assert json.loads(about["features"]) == ["x", "y", "z", "energy", "layer", "kind", "distance", "momentum"]
    assert json.loads(about["units"])["energy"] == "GeV"
    assert json.loads(about["thresholds"])["density_radius"] == 0.2
    assert (json.loads(about["readout"]), about["head"], json.loads(about["detector"])) == ("clue", "supcon", "slab-hg")
    assert about == source_of(model).about
    assert about["weights_sha256"] != source_of("rho-oc").about["weights_sha256"]
    assert about["cmlflow"] == cmlflow.__version__
    again = (tmp_path / "m.onnx").read_bytes()
    assert export_onnx(model, tmp_path / "n.onnx").read_bytes() == again


def test_without_readout_there_are_no_labels(exported, run):
    out = run(exported("compact-em-oc", readout=False), **batch(EM[:1]))
    assert list(out) == ["beta", "coordinates"]


def test_what_cannot_be_exported_is_refused(tmp_path):
    path = tmp_path / "m.onnx"
    for model, message in (
        ("compact-em-best", r"head is 'axes', which cannot be exported to ONNX.*expected supcon, margin"),
        (MetricClusterer.load("compact-em-supcon", readout="ward"), r"readout is Ward\(.*expected one of density"),
        (MetricClusterer.load("compact-em-supcon", readout="condensation"), "needs beta"),
        (MetricClusterer.load("compact-em-supcon", refine=1), "refine is 1, expected 0"),
        (MetricClusterer(), "no weights yet"),
    ):
        with pytest.raises(ValueError, match=message):
            export_onnx(model, path)
    with pytest.raises(ValueError, match="opset is 14, expected 15 to 21"):
        export_onnx("compact-em-supcon", path, opset=14)
    with pytest.raises(FileNotFoundError, match="nothing: neither"):
        export_onnx("nothing", path)
    assert not path.exists()


def test_command_writes_what_the_function_writes(tmp_path, capsys):
    path, other = tmp_path / "m.onnx", tmp_path / "n.onnx"
    assert main(["export", "compact-em-supcon", "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"compact-em-supcon written to {path}\n"
    assert path.read_bytes() == export_onnx("compact-em-supcon", other).read_bytes()
    model = MetricClusterer.load("compact-em-supcon", readout="clue")
    assert main(["export", "compact-em-supcon", "-o", str(path), "--readout", "clue", "--opset", "18"]) == 0
    assert path.read_bytes() == export_onnx(model, other, opset=18).read_bytes()
    assert main(["export", "compact-em-oc", "-o", str(path), "--no-readout"]) == 0
    assert path.read_bytes() == export_onnx("compact-em-oc", other, readout=False).read_bytes()
    assert main(["export", "compact-em-oc", "-o", str(path), "--no-readout", "--readout", "clue"]) == 1
    assert main(["export", "compact-em-best", "-o", str(path)]) == 1
    assert "head is 'axes'" in capsys.readouterr().err


def test_thresholds_of_a_readout_object_are_exported(exported, run):
    model = MetricClusterer.load("compact-em-supcon", readout=Density(threshold=0.9, radius=1.9))
    np.testing.assert_array_equal(run(exported(model), **batch(EM))["labels"], np.concatenate(model.predict(EM)))


@pytest.mark.parametrize("features", [None, ("position", "energy", "time"), ("shape", "layer")])
def test_features_of_the_events_own_are_columns(exported, run, features):
    events = []
    for event in EM:
        time = RNG.normal(size=event.n_hits)
        time[::7] = np.nan
        events.append(event.replace(features={"time": time, "shape": RNG.normal(size=(event.n_hits, 2))}))
    model = MetricClusterer(features=features, max_epochs=1, dim=4).fit(events[:1])
    inputs = model.embedder_.inputs
    x = event_points(events[1], inputs=inputs).x
    source = source_of(model)
    assert source.features == inputs.columns()
    order = RNG.permutation(len(x))
    session = exported(model)
    out, mixed = run(session, points=x, ptr=[0, len(x)]), run(session, points=x[order], ptr=[0, len(x)])
    assert out["embedding"][order].tobytes() == mixed["embedding"].tobytes()
    z, labels = model.transform(events[1:2])[0], model.predict(events[1:2])[0]
    assert (np.abs(z - out["embedding"]) > 1e-4).any(1).mean() < 0.01
    assert (out["labels"] == labels).mean() > 0.99
    have = predict_points(model, x, np.array([0, len(x)]))
    np.testing.assert_array_equal(have[1], labels)

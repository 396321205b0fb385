import re

import pytest

from cmlflow import MetricClusterer, simulate
from cmlflow.cli.demo import MODELS, run_demo
from cmlflow.model_paths import packaged_models
from cmlflow.nets.network import NetworkConfig


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models in folders, hardly trained: what the demo does with them does not depend on how good they are."""
    folder = tmp_path_factory.mktemp("models")
    for head, readout in (("supcon", "density"), ("oc", "condensation")):
        model = MetricClusterer(head=head, readout=readout, max_epochs=1, network=NetworkConfig(4, "hgcal"))
        model.fit(simulate("compact-em", 2, seed=1, n_particles=2))
        model.save(folder / head)
    return {"compact-em-test": (folder / "supcon", folder / "oc")}


def test_demo_prints_the_scores_and_writes_the_page(models, tmp_path, capsys):
    path = run_demo(tmp_path / "demo.html", 3, n_particles=(1, 2), models=models)
    out = capsys.readouterr().out
    assert out.rstrip().endswith(str(path.resolve()))
    assert "Electrons, 1 per event, 2 events (95 % intervals)" in out
    assert "Electrons, 2 per event, 1 event (95 % intervals)" in out
    for name in ("SupCon, density", "SupCon, hdbscan", "OC, condensation", "OC, ward"):
        assert len(re.findall(rf"^  {name} +(\d\.\d{{3}}|-)", out, re.MULTILINE)) == 2
    html = path.read_text(encoding="utf-8")
    for title in ("Scores", "Events", "Embeddings", "Samples"):
        assert f"<h2>{title}</h2>" in html
    assert html.count('class="event-display"') == 1
    assert html.count("<figcaption>") == html.count('src="data:image/svg+xml;base64,') == 2
    assert not re.search(r"""<(script|link|img|iframe)[^>]*(src|href)=["'](?!data:)""", html)
    assert len(html) < 10e6


def test_demo_is_reproducible_and_quiet(models, tmp_path, capsys):
    page = [run_demo(tmp_path / f"{i}.html", 1, n_particles=(2,), models=models, verbose=False) for i in (0, 1)]
    first, second = (re.sub(r"took \d+ s", "", p.read_text(encoding="utf-8")) for p in page)
    assert capsys.readouterr().out == ""
    data = [re.search(r'application/json">(.*?)</script>', text, re.DOTALL)[1] for text in (first, second)]
    assert data[0] == data[1]


def test_what_cannot_work_is_said_before_work_begins(models, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        run_demo(tmp_path / "absent" / "demo.html", models=models)
    with pytest.raises(FileNotFoundError, match="no-such-model"):
        run_demo(tmp_path / "demo.html", models={"compact-em-test": ("no-such-model",)})
    with pytest.raises(ValueError, match="n_events is 0"):
        run_demo(tmp_path / "demo.html", 0, models=models)


@pytest.mark.slow
@pytest.mark.skipif(
    not {str(n) for names in MODELS.values() for n in names} <= set(packaged_models()), reason="models not packaged"
)
def test_packaged_models_find_most_particles(tmp_path, capsys):
    run_demo(tmp_path / "demo.html", 2, n_particles=(4,))
    out = capsys.readouterr().out
    for sample in out.split("Electrons, 4 per event, ")[-1], out.split("Charged pions, 4 per event, ")[-1]:
        assert float(re.search(r"SupCon, density +(\d\.\d+)", sample)[1]) >= 0.7

"""What the documents say is so: their links, commands, Python, lists and tables."""

import importlib.util
import json
import re
import shlex
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cmlflow
from cmlflow.cli.main import build_parser
from cmlflow.recipes import CELL_RECIPES, RECIPES
from cmlflow.simulation import PACKAGED, SAMPLES, SLAB_SAMPLES, SPLITS, Jets, ShowerLibrary, slab_detector

ROOT = Path(__file__).parents[1]
_script = importlib.util.spec_from_file_location("render", ROOT / "benchmarks" / "render.py")
render = importlib.util.module_from_spec(_script)
sys.modules["render"] = render
_script.loader.exec_module(render)
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def anchors(page):
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        there = page.parent / name if name else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_are_understood(page):
    lines = "\n".join(blocks(page, "sh")).replace("&&", "\n").splitlines()
    for line in lines:
        words = shlex.split(line)
        if words[:1] == ["cmlflow"]:
            options = build_parser().parse_args(words[1:])
            if words[1] == "simulate" and not options.geant4:
                assert options.sample in SAMPLES | SLAB_SAMPLES
            if words[1] == "train":
                assert options.source in RECIPES | CELL_RECIPES or options.source.endswith((".root", ".parquet"))


@pytest.mark.parametrize("page", [*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
def test_lines_of_pages_are_short(page):
    text = re.sub(
        r"^```.*?^```|^<!-- (\S+) -->.*?^<!-- /\1 -->|^\|.*?$|^\$\$.*?\$\$", "", page.read_text(), flags=re.M | re.S
    )
    assert [line for line in text.splitlines() if len(line) > 100] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_compiles(page):
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


def test_readme_sets_up_with_two_commands():
    commands = [line for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()]
    assert "python -m pip install -c constraints.txt -e . && cmlflow demo" in commands
    assert 'python -m pip install -c constraints.txt -e ".[test]" && python -m pytest' in commands


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks(ROOT / "README.md", "python"):
        exec(compile(code, "README.md", "exec"), names)
    assert names["table"].n_events == 5
    assert len(names["candidates"]) == 5
    assert {file.name for file in tmp_path.iterdir()} == {"clusters.parquet", "events.html"}


@pytest.mark.slow
def test_python_of_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for sample, suffix in (("train", ""), ("validation", "-validation"), ("auxiliary", "-tuning"), ("test", "-test")):
        cmlflow.write(cmlflow.simulate(f"compact-em{suffix}", 3, seed=1, n_particles=2), f"{sample}.root")
    names = {}
    for code in blocks(ROOT / "docs/tutorial/clustering.md", "python"):
        exec(compile(code.replace("max_epochs=20", "max_epochs=1"), "tutorial.md", "exec"), names)
    assert set(names["labels"]) == {"density", "clue", "ward"}
    assert set(cmlflow.MetricClusterer.load("runs/em").thresholds_) == {"density", "clue", "ward"}


def test_python_of_the_first_particle_flow_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(blocks(ROOT / "docs/tutorial/particle-flow.md", "python")[0], "particle-flow.md", "exec"), names)
    assert len(names["candidates"]) == 5
    stored = cmlflow.io.read_candidates("candidates.parquet")
    for have, want in zip(stored, names["candidates"], strict=True):
        np.testing.assert_array_equal(have.share, want.share)
        np.testing.assert_array_equal(have.momentum, want.momentum)
    assert (tmp_path / "candidates.html").read_text().startswith("<!DOCTYPE html>")


def test_architecture_lists_the_layers_that_are_enforced():
    (tree,) = re.findall(
        r"^```\ncmlflow/\n(.*?)^```", (ROOT / "docs/explanation/architecture.md").read_text(), re.M | re.S
    )
    listed = [line.split()[0].rstrip("/").removesuffix(".py") for line in tree.splitlines()]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [c["layers"] for c in contracts if c["id"] == "layers"]
    assert listed == [name for name in reversed(layers) if name != "__main__"] + ["assets"]
    there = {p.name.removesuffix(".py") for p in (ROOT / "cmlflow").iterdir() if p.suffix in ("", ".py")}
    assert set(listed) == {name for name in there if not name.startswith("__")}


def test_showers_per_split_are_those_of_the_libraries():
    text = (ROOT / "docs/reference/samples.md").read_text()
    rows = re.findall(r"^\| `((?:hgcal|slab)-\w+)` \| (\w+) \|([\d |]+)\|$", text, re.M)
    assert sorted(r[:2] for r in rows) == sorted((n, s) for n in PACKAGED for s in SPLITS)
    edges = {"hgcal": [10, 30, 100, 200, 400, 601], "slab": [0, 2, 5, 10, 20, 60.1]}
    for name, split, numbers in rows:
        library = ShowerLibrary.packaged(name)
        energy = library.energy[library.split == SPLITS.index(split)]
        count, _ = np.histogram(energy, edges[name.split("-")[0]])
        assert [int(n) for n in numbers.split("|")] == count.tolist(), (name, split)


def test_samples_are_all_described():
    text = (ROOT / "docs/reference/samples.md").read_text()
    for name, sample in SAMPLES.items():
        if sample.split == "train":
            (row,) = re.findall(rf"^\| `{name}` .*$", text, re.M)
            few, many = sample.n_particles
            test = SAMPLES[f"{name}-test"]
            for low, high in ((few, many), sample.energy_range, test.n_particles, test.energy_range):
                assert f"{low:g}–{high:g}" in row, name

    for name, slab_sample in SLAB_SAMPLES.items():
        if slab_sample.split == "train":
            assert re.search(rf"^\| `{name}` \|", text, re.M), name


def test_slab_is_that_of_its_table():
    text = (ROOT / "docs/reference/samples.md").read_text()
    rows = re.findall(r"^\| \d [EH]CAL\d \|(.*)\|$", text, re.M)
    fine, coarse = slab_detector("slab-hg"), slab_detector("slab-lg")
    for row, *want in zip(rows, fine.n_cells, coarse.n_cells, fine.noise, coarse.noise, fine.sampling, strict=True):
        n, m, noise, more, sampling = want
        cells = f"{n} × {n} | {m} × {m} | {1000 * noise:g} MeV | {1000 * more:g} MeV | {100 * sampling:g} %/√E"
        assert row.strip() == cells
    jets = Jets.packaged()
    assert f"{len(jets):,} jets" in text


@pytest.mark.parametrize("name", render.BLOCKS)
def test_tables_are_those_of_the_results(name):
    block = render.BLOCKS[name]
    assert render.pattern(name).search(block.page.read_text()).group() == block.wanted(), "run benchmarks/render.py"


def test_tables_wait_for_their_results(tmp_path):
    block = replace(render.BLOCKS["physics"], results=tmp_path / "absent.json")
    assert block.wanted() == render.NO_RUN_YET


def test_index_lists_every_page():
    index = ROOT / "docs/index.md"
    listed = {(index.parent / name).resolve() for name in re.findall(r"\]\(([^)#]+)", index.read_text())}
    assert set(ROOT.glob("docs/*/*.md")) <= listed


@pytest.mark.parametrize("name", render.TABLES)
def test_results_in_markdown_are_those_in_json(name):
    folder = ROOT / "benchmarks/results" / name
    found = json.loads((folder / "results.json").read_text())
    assert (folder / "results.md").read_text() == render.TABLES[name](found), "run benchmarks/render.py"


def test_scores_on_file_are_one_run():
    rows = json.loads((ROOT / "benchmarks/results/compact/scores.json").read_text())
    assert (ROOT / "benchmarks/results/compact/scores.md").read_text() == render.all_scores(rows)

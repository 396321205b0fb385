"""The package as it is installed: quick to import, light, with the public names; its metadata in agreement."""

import importlib
import inspect
import os
import re
import statistics
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cmlflow
from cmlflow.simulation import PACKAGED

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

PUBLIC = {
    "cmlflow.Event": ["position", "energy", "layer", "particle_id", "deposits", "particles", "tracks"],
    "cmlflow.read": ["path", "format"],
    "cmlflow.write": ["events", "path"],
    "cmlflow.simulate": ["sample", "n_events", "seed"],
    "cmlflow.build_network": ["head", "dim", "k"],
    "cmlflow.export_onnx": ["model", "path", "readout", "opset"],
    "cmlflow.evaluate": ["events", "labels", "preset"],
    "cmlflow.MetricClusterer": ["head", "readout", "random_state", "max_epochs", "batch_size", "learning_rate"],
    "cmlflow.MetricClusterer.load": ["name"],
    "cmlflow.MetricClusterer.fit": ["events", "validation"],
    "cmlflow.MetricClusterer.predict": ["events"],
    "cmlflow.MetricClusterer.transform": ["events"],
    "cmlflow.MetricClusterer.tune": ["events"],
    "cmlflow.MetricClusterer.save": ["folder"],
    "cmlflow.MetricClusterer.set_params": [],
    "cmlflow.graphs.knn": ["x", "k", "ptr"],
    "cmlflow.losses.supcon_loss": ["z", "particle_id", "temperature"],
    "cmlflow.losses.condensation_loss": ["beta", "x", "particle_id", "q_min", "largest"],
    "cmlflow.readouts.ward": ["z", "height"],
    "cmlflow.readouts.density": ["z", "k", "temperature", "threshold", "radius"],
    "cmlflow.readouts.condensation": ["x", "beta", "threshold", "radius"],
    "cmlflow.metrics.embedding_metrics": ["z", "particle_id", "energy", "seed"],
    "cmlflow.metrics.association_scores": ["labels", "event"],
    "cmlflow.metrics.reconstruction_metrics": ["events", "labels"],
}
HEAVY = ["torch", "sklearn", "scipy", "hdbscan", "uproot", "awkward", "pyarrow", "matplotlib", "plotly", "tqdm"]


def output_of(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def cpu_seconds(*arguments):
    """User and system time of one Python process: unlike the wall clock, it hardly depends on what else is running."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("arguments", [["-c", "import cmlflow"], ["-m", "cmlflow", "--help"]], ids=["import", "help"])
def test_starts_within_half_a_second(arguments):
    assert statistics.median(cpu_seconds(*arguments) for _ in range(5)) < 0.5


@pytest.mark.parametrize("code", ["import cmlflow", "from cmlflow.cli.main import build_parser; build_parser()"])
def test_import_and_help_load_nothing_heavy(code):
    assert output_of(f"import sys; {code}; print([m for m in {HEAVY} if m in sys.modules])").strip() == "[]"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_take_their_arguments(name):
    module, *attributes = name.removeprefix("cmlflow.").split(".")
    value = getattr(cmlflow, module) if hasattr(cmlflow, module) else importlib.import_module(f"cmlflow.{module}")
    for attribute in attributes:
        value = getattr(value, attribute)
    parameters = inspect.signature(value).parameters
    assert [p for p in PUBLIC[name] if p not in parameters] == []
    assert inspect.getdoc(value)


def test_defaults_of_the_readouts_are_the_papers():
    from cmlflow.readouts import density

    parameters = inspect.signature(density).parameters
    values = {n: parameters[n].default for n in ("k", "temperature", "threshold", "radius")}
    assert values == {"k": 24, "temperature": 0.1, "threshold": 0.4, "radius": 0.45}


def test_all_names_are_there_and_unknown_ones_are_not():
    assert sorted(cmlflow.__all__) == sorted(dir(cmlflow))
    assert all(hasattr(cmlflow, name) for name in cmlflow.__all__)
    with pytest.raises(AttributeError, match="no attribute 'cluster'"):
        _ = cmlflow.cluster


def test_files_samples_metrics_and_displays_work_without_torch(tmp_path):
    code = f"""
import sys
sys.modules["torch"] = None  # any import of it fails
import cmlflow, cmlflow.plots
from cmlflow.metrics import association_scores, embedding_metrics
events = cmlflow.simulate("compact-em", 2, seed=1, n_particles=2)
cmlflow.write(events, {str(tmp_path / "a.parquet")!r})
cmlflow.write(events, {str(tmp_path / "a.root")!r})
again = cmlflow.read({str(tmp_path / "a.root")!r})
table = cmlflow.evaluate(again, [e.particle_id for e in again])
assert association_scores(events[0].particle_id, events[0])["r2s"].shape == (2, 2)
assert embedding_metrics(events[0].position, events[0].particle_id, events[0].energy)["recall_at_1"] > 0
print(table.efficiency.value, table.ratio.value)
"""
    assert output_of(code).split() == ["1.0", "1.0"]


def test_hooks_have_the_versions_of_the_constraints():
    pinned = set(re.findall(r"^[\w.-]+==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    hooks = re.findall(r'"([\w-]+==[^"]+)"', (ROOT / ".pre-commit-config.yaml").read_text())
    assert {hook.split("==")[0] for hook in hooks} == {"ruff", "codespell"}
    assert set(hooks) <= pinned


def test_version_is_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text()
    changes = re.findall(r"^## \[(\d[^]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert cmlflow.__version__ == PYPROJECT["project"]["version"] == metadata.version("cmlflow") == changes[0]
    assert f"\nversion: {cmlflow.__version__}\n" in citation


def test_constraints_pin_everything_that_gets_installed():
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pins = {canonicalize_name(Requirement(line).name): str(Requirement(line).specifier) for line in lines if line}
    assert all(re.fullmatch(r"==[\w.]+", pin) for pin in pins.values())
    assert pins["torch"] == "==2.13.0"
    tools = PYPROJECT["dependency-groups"]["lint"]
    queue = [("cmlflow", "test"), *((Requirement(tool).name, "") for tool in tools)]
    seen = set()
    while queue:
        name, extra = queue.pop()
        seen.add(name)
        try:
            wanted = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # the tools need not be installed here
        needed = [Requirement(r) for r in wanted]
        found = {canonicalize_name(r.name) for r in needed if r.marker is None or r.marker.evaluate({"extra": extra})}
        queue += [(r, "") for r in found - seen]
    assert sorted(seen - set(pins) - {"cmlflow"}) == []


def test_wheel_holds_what_the_package_reads_at_run_time():
    assets = {p.relative_to(ROOT).as_posix() for p in (ROOT / "cmlflow" / "assets").rglob("*") if p.is_file()}
    libraries = {f"cmlflow/assets/showers/{name}.npz" for name in PACKAGED}
    assert libraries | {"cmlflow/assets/jets/jets.npz"} <= assets
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *sorted(assets)], cwd=ROOT, capture_output=True, text=True
    )
    assert ignored.stdout == ""  # hatchling leaves out what git ignores
    assert PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"] == {
        "packages": ["cmlflow", "benchmarks/cmlflow_benchmarks"]
    }
    assert sum((ROOT / path).stat().st_size for path in assets) < 16e6

"""What there is: packaged models, and the machine."""

import json

from cmlflow import __version__
from cmlflow.cli import main
from cmlflow.model_paths import packaged_models


def test_models_are_listed(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "kind", "head", "readout", "detector", "sample"]
    assert [line.split()[0] for line in lines[1:]] == packaged_models(every=True)
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["detector"] == "hgcal"


def test_info_names_versions(capsys):
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cmlflow"] == __version__
    assert found["packages"]["numpy"]
    assert found["threads"] >= 1
    assert main(["info"]) == 0
    assert f"cmlflow          {__version__}" in capsys.readouterr().out

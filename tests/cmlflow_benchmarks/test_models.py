"""Which models a comparison takes."""

import pytest

from cmlflow_benchmarks import models
from cmlflow_benchmarks.models import given_models
from cmlflow_benchmarks.sizes import find_size, scaled

NAMES = ["one", "two", "three"]
PACKAGED = {"compact-em-supcon": "one", "compact-em-oc": "two", "not-packaged": "three"}


def test_entries_name_packaged_models_and_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "packaged_models", lambda **_: ["compact-em-oc", "compact-em-supcon", "another"])
    monkeypatch.setattr(models, "find_model", lambda name: name)
    both = {"one": "compact-em-supcon", "two": "compact-em-oc"}
    assert given_models([], NAMES, PACKAGED) == {}
    assert given_models(["packaged"], NAMES, PACKAGED) == both
    assert given_models(["compact-em-oc"], NAMES, PACKAGED) == {"two": "compact-em-oc"}
    folder = str(tmp_path)
    assert given_models(["packaged", f"one={folder}"], NAMES, PACKAGED) == both | {"one": folder}
    assert given_models([f"one={folder}", "packaged"], NAMES, PACKAGED) == both  # the last one counts


def test_wrong_entries_are_refused():
    with pytest.raises(ValueError, match="unknown name 'four' in 'four=x', expected one of one, two, three"):
        given_models(["four=x"], NAMES, PACKAGED)
    for wrong in ("one=", "one", "compact-had-oc"):
        with pytest.raises(ValueError, match=f"'{wrong}' is neither NAME=MODEL, 'packaged', nor one of compact-em-sup"):
            given_models([wrong], NAMES, PACKAGED)
    with pytest.raises(FileNotFoundError, match="nowhere: neither a folder"):
        given_models(["one=nowhere"], NAMES, PACKAGED)


def test_sizes_are_found_by_name_and_scaled():
    class Size:
        name = "small"

    small = Size()
    assert find_size("small", {"small": small}) is small
    assert find_size(small, {}) is small
    with pytest.raises(ValueError, match="size: unknown name 'large', expected one of small"):
        find_size("large", {"small": small})
    assert [scaled(n, 0.1) for n in (1, 40, 100)] == [1, 4, 10]

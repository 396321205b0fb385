import pytest
from numba import njit
from numba.core.caching import CacheImpl

from cmlflow.graphs.compiling import compiled


def test_compiles_where_no_folder_can_keep_the_result(monkeypatch):
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    def double(x):
        return 2 * x

    with pytest.raises(RuntimeError, match="cannot cache"):
        njit(cache=True)(double)
    twice = compiled()(double)
    assert twice(21) == 42
    assert twice.signatures


def test_options_reach_the_compiler():
    @compiled(fastmath=True)
    def half(x):
        return x / 2

    assert half(1.0) == 0.5
    assert half.targetoptions["fastmath"]

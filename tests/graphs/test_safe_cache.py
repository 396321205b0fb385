import numpy as np
import pytest
from numba.core.caching import FunctionCache

from cmlflow.graphs import compiling


@pytest.mark.parametrize("name", ["load_overload", "save_overload"])
def test_a_cache_that_fails_is_not_used_and_told_once(monkeypatch, name):
    def fail(*_):
        raise OSError(28, "No space left on device") if name == "save_overload" else EOFError("Ran out of input")

    monkeypatch.setattr(FunctionCache, name, fail)
    monkeypatch.setattr(FunctionCache, "load_overload" if name == "save_overload" else "save_overload", lambda *_: None)
    monkeypatch.setattr(compiling, "_warned", set())

    @compiling.compiled()
    def double(x):
        return 2 * x

    with pytest.warns(RuntimeWarning, match="kernels are compiled without it") as told:
        found = [double(x) for x in (np.float64(1.5), np.int64(2))]
    assert found == [3, 4]
    assert len(told) == 1

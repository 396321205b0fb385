import decimal

import numpy as np
import pytest
import torch

from cmlflow.event.arrays import INT32, plain, whole, whole_number


@pytest.mark.parametrize("values", [[1, -2, 3], [1.0, 2.0], np.array([1, 2], np.uint8), [True, False], [], [2**62]])
def test_whole_numbers_stay_what_they_are(values):
    got = whole(values, "layer")
    assert got.dtype == np.int64
    assert got.tolist() == [int(v) for v in values]


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -np.inf, 0.5, 2.0**63, 1e30, -1e30, np.uint64(2**64 - 1), 2**70, decimal.Decimal("0.5")]
)
def test_what_is_no_whole_number_of_64_bits_is_refused(value):
    with pytest.raises(ValueError, match=r"layer of hit 1 is .*, expected integers"):
        whole(np.array([0, value]) if not isinstance(value, np.uint64) else np.array([0, value], np.uint64), "layer")


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, -(2**63), float(2**31)])
def test_a_narrower_range(value):
    with pytest.raises(ValueError, match=r"expected integers in -2147483648..2147483647"):
        whole([0, value], "layer", low=INT32[0], high=INT32[1])


def test_the_result_is_a_copy():
    values = np.arange(3)
    whole(values, "layer")[0] = 7
    assert values.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ma.masked_array([1.0, 2.0], [False, True]), "is masked at 1"),
        ([np.ma.masked_array([1.0], [True]), np.ma.masked_array([1.0], [False])], "is masked at 0"),
        (np.array([1j]), "not values of type complex128"),
        ([1, 1j], "not values of type complex128"),
        (np.array([1], "M8[s]"), "not values of type datetime64"),
        (np.array([1], "m8[s]"), "not values of type timedelta64"),
        (np.zeros(1, [("a", "f4")]), "expected numbers"),
        (["1.5"], "expected numbers"),
        ([object()], "expected numbers"),
        ([[1], [1, 2]], "expected numbers of one shape"),
        ({"a": 1}, "expected numbers"),
        (torch.empty(2, device="meta"), "device 'meta'"),
        (torch.ones(2).to_sparse(), "layout torch.sparse_coo"),
        (torch.ones(2, dtype=torch.complex64), "not values of type complex64"),
        ([torch.empty((), device="meta")], "device 'meta'"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        plain(value)


def test_tensors_of_all_precisions():
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.int8):
        assert plain(torch.ones(2, dtype=kind, requires_grad=kind.is_floating_point)).tolist() == [1, 1]


@pytest.mark.parametrize("value", ["x", [1], np.inf, np.nan, 1.5, 2**63, None, b"1", np.array([1])])
def test_one_number(value):
    with pytest.raises(ValueError, match="number "):
        whole_number(value, "number")
    assert whole_number(np.int32(4), "number") == whole_number(4.0, "number") == 4

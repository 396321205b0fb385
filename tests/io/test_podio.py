import numpy as np
import pytest

from cmlflow.io.podio import decode


def decode_slowly(cell, encoding, field):
    offset = 0
    for part in encoding.split(","):
        name, *numbers = part.split(":")
        if len(numbers) == 2:
            offset = int(numbers[0])
        width = int(numbers[-1])
        if name == field:
            bits = format(int(cell), "064b")[::-1][offset : offset + abs(width)][::-1]
            value = int(bits, 2)
            return value - 2 ** len(bits) if width < 0 and bits[0] == "1" else value
        offset += abs(width)
    return 0


@pytest.mark.parametrize(
    "encoding",
    [
        "system:0:8,barrel:8:3,module:11:4,layer:15:6,slice:21:5,x:32:-16,y:48:-16",
        "system:5,side:-2,layer:6,module:11,sensor:8",
    ],
)
def test_decode_equals_the_twin(encoding):
    cells = np.random.default_rng(0).integers(0, 2**64, 50, dtype=np.uint64)
    for field in ("system", "side", "layer", "x", "y", "none"):
        want = [decode_slowly(cell, encoding, field) for cell in cells]
        np.testing.assert_array_equal(decode(cells, encoding, field), want)
    assert decode(cells[:0], encoding, "layer").dtype == np.int64


@pytest.mark.parametrize("encoding", ["layer", "layer:a", "layer:0:8:8", "x:60:8,layer:4", "layer:0"])
def test_encodings_that_are_wrong(encoding):
    with pytest.raises(ValueError, match=f"encoding '{encoding}'"):
        decode(np.zeros(1, np.uint64), encoding, "layer")

"""Codes, masses and kinds of particles."""

import numpy as np
import pytest

from cmlflow.particles import MASS, is_electromagnetic, masses, neutral_classes


def test_masses():
    np.testing.assert_array_equal(masses([-211, 22, 2112]), [MASS[211], 0, MASS[2112]])
    assert masses([]).shape == (0,)
    with pytest.raises(ValueError, match="pdg_id 13 is not known, expected one of 11, 22"):
        masses([22, -13])


def test_kinds():
    assert is_electromagnetic([11, -11, 22, 111, 221, 211, 2112]).tolist() == [True] * 5 + [False] * 2
    assert neutral_classes([22, 111, 2112, 130]).tolist() == [22, 22, 2112, 2112]

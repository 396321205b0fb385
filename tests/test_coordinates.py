"""Pseudorapidity, azimuth and ΔR about any axis, against their textbook definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmlflow.coordinates import axes, delta_r, direction_of, eta_phi, from_eta_phi, radius_of

number = st.floats(-500, 500).filter(lambda x: abs(x) > 1e-3)


@given(number, number, number, st.sampled_from("xyz"))
def test_equals_the_definition(x, y, z, beam):
    along = {"x": x, "y": y, "z": z}[beam]
    theta = math.acos(along / math.sqrt(x * x + y * y + z * z))
    eta, phi = eta_phi([x, y, z], beam)
    assert eta == pytest.approx(-math.log(math.tan(theta / 2)), rel=1e-6, abs=1e-6)
    u, v = {"x": (y, z), "y": (z, x), "z": (x, y)}[beam]
    assert math.cos(phi) * math.hypot(u, v) == pytest.approx(u)
    assert math.sin(phi) * math.hypot(u, v) == pytest.approx(v)
    np.testing.assert_allclose(from_eta_phi(eta, phi, radius_of([x, y, z], beam), beam), [x, y, z], rtol=1e-9)
    np.testing.assert_allclose(direction_of(eta, phi, beam), np.array([x, y, z]) / np.linalg.norm([x, y, z]), atol=1e-9)


def test_the_beam_axis_and_the_origin():
    eta, _ = eta_phi([[0, 0, 5], [0, 0, -5], [0, 0, 0]])
    np.testing.assert_array_equal(eta, [np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(direction_of([np.inf, -np.inf], [0, 0]), [[0, 0, 1], [0, 0, -1]])
    np.testing.assert_array_equal(direction_of(np.inf, 0.3, "y"), [0, 1, 0])
    assert eta_phi(np.zeros((0, 3)))[0].shape == (0,)
    with pytest.raises(ValueError, match="beam is 'w', expected one of x, y, z"):
        axes("w")


def test_distance_goes_the_short_way_round():
    assert delta_r(0, 3.1, 0, -3.1) == pytest.approx(2 * math.pi - 6.2)
    assert delta_r(1.0, 0.0, 4.0, 4.0 - 2 * math.pi) == pytest.approx(math.hypot(3, 4 - 2 * math.pi))
    assert delta_r(np.zeros((3, 1)), 0.0, np.ones(4), 0.0).shape == (3, 4)
    assert np.isnan(delta_r(np.inf, 0.0, np.inf, 0.0))


def test_small_angles_about_the_axis_of_a_barrel_piece_are_distances():
    e, f = eta_phi([[0.0, 3.0, 150.0], [4.0, 0.0, 150.0]], beam="y")
    np.testing.assert_allclose(delta_r(0, 0, e, f), [0.02, 0.02667], atol=1e-4)

"""Events from several processes are those of one."""

import numpy as np
import pytest

from cmlflow.simulation import SimulatedEvents
from cmlflow.simulation.parallel import simulated_by


@pytest.mark.slow
def test_two_processes_make_the_events_of_one():
    events = SimulatedEvents("rho", 45, seed=4)
    found = list(simulated_by(events, 2))
    assert len(found) == 45
    for a, b in zip(found, events, strict=True):
        assert a.number == b.number
        for name in ("position", "energy", "layer", "particle_id"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        np.testing.assert_array_equal(a.deposits.energy, b.deposits.energy)


def test_one_process_makes_them_here():
    events = SimulatedEvents("rho", 2, seed=4)
    assert [e.n_hits for e in simulated_by(events, 1)] == [e.n_hits for e in events]
    with pytest.raises(ValueError, match="workers is 0"):
        next(simulated_by(events, 0))

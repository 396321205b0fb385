import numpy as np

from cmlflow.event import Event
from cmlflow.event.deposits import origins


def test_parts_by_hand():
    deposits = [0, 0, 1, 2, 2], [0, 1, 1, -1, 2], [3.0, 1.0, 2.0, 1.0, 1.0]
    tracks = [5.0, 1.0], [[0, 0, 1]] * 2, [[0, 0, 0]] * 2, [0, -1]
    e = Event(np.zeros((4, 3)), [4, 2, 2, 1], deposits=deposits, tracks=tracks)
    np.testing.assert_allclose(origins(e), [[0.75, 0.25, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 0]])
    bare = Event(np.zeros((4, 3)), [4, 2, 2, 1], deposits=deposits)
    np.testing.assert_allclose(origins(bare), [[0, 1, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 0]])
    assert origins(Event(np.zeros((0, 3)), [])).shape == (0, 3)

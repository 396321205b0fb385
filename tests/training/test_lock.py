import multiprocessing
import os

import pytest

from cmlflow.training.lock import LOCK, locked


def test_the_second_is_refused_and_the_lock_goes(tmp_path):
    with locked(tmp_path):
        with (
            pytest.raises(RuntimeError, match=f"in use by another training .process {os.getpid()} on "),
            locked(tmp_path),
        ):
            pass
        assert (tmp_path / LOCK).exists()
    assert not os.listdir(tmp_path)
    with locked(tmp_path):
        pass


def _die(folder):
    with locked(folder):
        os._exit(1)


def test_a_killed_one_leaves_the_folder_free(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_die, args=(tmp_path,))
    process.start()
    process.join()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        pass

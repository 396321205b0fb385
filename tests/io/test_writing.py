import os
import stat
import subprocess
import sys

import pytest

from cmlflow.io.writing import atomically


def put(path, text="new"):
    with atomically(path) as temporary:
        temporary.write_text(text)


def test_links_are_followed_and_kept(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "target")
    put(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "target").read_text() == "new"


def test_the_mode_of_a_replaced_file_is_kept(tmp_path):
    path = tmp_path / "private"
    path.touch(0o600)
    put(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "new"


@pytest.mark.parametrize("length", [200, 230, 255])
def test_long_names(tmp_path, length):
    put(tmp_path / ("m" * length))
    assert os.listdir(tmp_path) == ["m" * length]


def test_a_pipe_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="cannot write"):
        put(pipe)  # nobody reads
    number = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    put(pipe, "through")
    assert os.read(number, 100) == b"through"
    os.close(number)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no /dev/null")
def test_devices_stay(tmp_path):
    before = os.stat("/dev/null")
    put("/dev/null")
    assert os.stat("/dev/null").st_rdev == before.st_rdev


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_the_standard_output(tmp_path, name):
    code = (
        "import sys\nfrom cmlflow.io.writing import atomically\nprint('before')\n"
        f"with atomically({name!r}) as path: path.write_text('text\\n')\nprint('after')"
    )
    with open(tmp_path / "out", "w") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "before\ntext\nafter\n"


def test_files_left_by_killed_processes_of_the_same_target_go(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    code = (
        "import os, sys\nfrom cmlflow.io.writing import atomically\n"
        "with atomically(sys.argv[1]) as path:\n    path.write_text('x')\n    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False)
    assert len(os.listdir(tmp_path)) == 1
    (tmp_path / f".a.{ended.pid}.00000000.part").touch()
    (tmp_path / f".b.{ended.pid}.00000000.part").touch()  # of another target
    (tmp_path / f".a.{os.getpid()}.00000000.part").touch()  # of a process that runs
    put(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == [f".a.{os.getpid()}.00000000.part", f".b.{ended.pid}.00000000.part", "a"]


def test_nothing_is_left_where_it_fails(tmp_path):
    with pytest.raises(TypeError), atomically(tmp_path / "a") as path:
        path.write_text(b"half")
    assert not os.listdir(tmp_path)

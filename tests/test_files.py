"""Files on disk: pipes and folders are refused, killed writers leave nothing, locks and links."""

import io
import os
import signal
import subprocess
import sys

import pytest

from bitnet import InputError
from bitnet.archive import kind_of, read_archive
from bitnet.data.arrays import read_arrays
from bitnet.data.cifar import read_cifar, read_class_names
from bitnet.data.idx import read_idx
from bitnet.data.image_folder import read_images_of
from bitnet.data.text import read_text
from bitnet.files import check_writable, locked, reading, replacing
from bitnet.training import load, read_checkpoint, read_log

READERS = {
    "header": kind_of,
    "archive": lambda path: read_archive(path, "test", 1),
    "net": load,
    "checkpoint": read_checkpoint,
    "log": read_log,
    "arrays": read_arrays,
    "idx": read_idx,
    "cifar": read_cifar,
    "names": lambda path: read_class_names(path, 3),
    "text": read_text,
    "pictures": lambda path: read_images_of(path, 4),
}

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")


@needs_pipes
@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path, reader):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(InputError, match="pipe: it is a device or a pipe; expected"):
        READERS[reader](path)


@needs_pipes
@pytest.mark.parametrize(
    "words", [["predict", "PIPE", "a.npy"], ["plot", "curves", "PIPE", "--out", "a.svg"]]
)
def test_verbs_refuse_a_pipe(tmp_path, words):
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-m", "bitnet", *(w.replace("PIPE", "pipe") for w in words)]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (out.returncode, out.stdout) == (1, "")
    assert out.stderr.startswith("error: pipe: it is a device or a pipe; expected")


@pytest.mark.parametrize("reader", sorted(READERS.keys() - {"pictures"}))
def test_a_folder_is_refused(tmp_path, reader):
    with pytest.raises(InputError, match="it is a folder; expected"):
        READERS[reader](tmp_path)


def test_a_stream_stays_at_its_position():
    stream = io.BytesIO(b"before and after")
    stream.seek(7)
    with reading(stream) as (file, n_bytes, name):
        assert (file.read(), n_bytes, name) == (b"and after", 9, "the stream")
    assert stream.tell() == 7


def test_partial_files_of_killed_processes_are_removed(tmp_path):
    code = (
        "import sys, time; from bitnet.files import replacing\n"
        "with replacing(sys.argv[1]) as file:\n"
        "    file.write(b'half'); print(flush=True); time.sleep(60)\n"
    )
    pytest.importorskip("fcntl", reason="the system has no locks")
    path = tmp_path / "a"
    command = [sys.executable, "-c", code, path]
    for name in (".a.b.partial", ".b.1.partial", "a.1.partial"):
        (tmp_path / name).touch()  # of others
    others = set(os.listdir(tmp_path))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert set(os.listdir(tmp_path)) == others | {f".a.{process.pid}.partial"}
        with replacing(path) as file:
            file.write(b"whole")
        assert set(os.listdir(tmp_path)) == others | {f".a.{process.pid}.partial", "a"}
        process.kill()
        process.wait()
    assert set(os.listdir(tmp_path)) == others | {f".a.{process.pid}.partial", "a"}
    with replacing(path) as file:
        file.write(b"more")
    assert set(os.listdir(tmp_path)) == others | {"a"}
    assert path.read_bytes() == b"more"


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    folder, link = tmp_path / "there", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder / "target")
    for content in (b"one", b"two"):  # without and with an earlier file
        check_writable(link)
        with replacing(link) as file:
            file.write(content)
        assert link.is_symlink()
        assert (folder / "target").read_bytes() == content
    assert os.listdir(folder) == ["target"]
    link.unlink()
    link.symlink_to(tmp_path / "missing" / "target")
    with pytest.raises(InputError, match=r"no folder .*missing"):
        check_writable(link)


def test_one_process_at_a_time_holds_a_lock(tmp_path):
    pytest.importorskip("fcntl", reason="the system has no locks")
    path, link = tmp_path / "a", tmp_path / "link"
    link.symlink_to(path)
    with locked(path):
        assert (tmp_path / ".a.lock").read_text() == f"{os.getpid()}\n"
        for name in (path, link):
            with pytest.raises(InputError, match=f"written by process {os.getpid()}; wait"):
                locked(name).__enter__()
        with locked(tmp_path / "b"):
            pass
    assert os.listdir(tmp_path) == ["link"]
    with locked(link):
        pass
    with pytest.raises(ZeroDivisionError), locked(path):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["link"]
    with pytest.raises(FileNotFoundError, match="missing/a'"), locked(tmp_path / "missing" / "a"):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    pytest.importorskip("fcntl", reason="the system has no locks")
    code = (
        "import sys, time; from bitnet.files import locked\n"
        "with locked(sys.argv[1]):\n"
        "    print(flush=True); time.sleep(60)\n"
    )
    path = tmp_path / "a"
    command = [sys.executable, "-c", code, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(InputError, match=f"by process {process.pid}"), locked(path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert os.listdir(tmp_path) == [".a.lock"]
    with locked(path):
        assert (tmp_path / ".a.lock").read_text() == f"{os.getpid()}\n"
    assert os.listdir(tmp_path) == []

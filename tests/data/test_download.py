"""Downloads from a real server that breaks off, lies or refuses ranges."""

import gzip
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from server import Handler

from bitnet import InputError, load_dataset
from bitnet.data import fetch, verify

pytest.importorskip("pooch", reason="Pooch is not installed")

FIRST = "train-images-idx3-ubyte.gz"


def the_first(server):
    return [asked for name, asked in server.asked if name == FIRST]


def test_a_set_is_fetched_and_read_and_not_fetched_again(server, mnist):
    paths = fetch("mnist")
    assert [path.parent for path in paths] == [mnist] * 4
    assert all(path.read_bytes() == server.files[path.name] for path in paths)
    assert len(load_dataset("mnist").train_images) == 300
    assert all(verdict.good for verdict in verify("mnist"))
    assert sorted(path.name for path in mnist.iterdir()) == sorted(server.files)
    assert len(server.asked) == 4
    fetch("mnist")
    assert len(server.asked) == 4
    paths[1].unlink()
    fetch("mnist")
    assert server.asked[4:] == [(paths[1].name, None)]


def test_a_connection_that_breaks_goes_on_where_it_was(server, mnist):
    server.breaks = [1000, 0, 1, 50_000]
    whole = server.files[FIRST]
    with pytest.raises(InputError, match=rf"1000 of {len(whole)} bytes are kept"):
        fetch("mnist")
    fetch("mnist", url=server.address + "/")
    assert the_first(server) == [None, *[f"bytes={n}-" for n in (1000, 1000, 1001, 51_001)]]
    assert (mnist / FIRST).read_bytes() == whole


def test_a_connection_that_breaks_without_a_stated_length_is_noticed(server, mnist):
    server.says_length, server.breaks = False, [1000]
    fetch("mnist")
    assert the_first(server) == [None, "bytes=1000-"]


def test_a_server_without_ranges_sends_all_again(server, mnist):
    server.ranges, server.breaks = False, [1000]
    fetch("mnist")
    assert the_first(server) == [None, "bytes=1000-"]
    assert (mnist / FIRST).read_bytes() == server.files[FIRST]


def test_a_server_without_ranges_that_always_breaks_is_given_up(server, mnist):
    server.ranges, server.breaks = False, [1000] * 9
    with pytest.raises(InputError, match="was interrupted"):
        fetch("mnist")
    assert len(server.breaks) == 7


def test_what_is_not_what_was_published_is_not_kept(server, mnist):
    server.files[FIRST] = server.files[FIRST][:-1] + b"!"
    with pytest.raises(InputError, match="differs from the published file"):
        fetch("mnist")
    assert not list(mnist.iterdir())
    assert len(server.asked) == 1


def test_a_part_of_another_file_is_thrown_away(server, mnist):
    mnist.mkdir()
    for part in (b"other bytes", bytes(len(server.files[FIRST])), bytes(10**6)):
        (mnist / f".{FIRST}.part").write_bytes(part)
        fetch("mnist")
        assert (mnist / FIRST).read_bytes() == server.files[FIRST]
        (mnist / FIRST).unlink()


def test_a_file_that_differs_is_replaced_only_by_a_good_one(server, mnist):
    fetch("mnist")
    good, name = server.files[FIRST], mnist / FIRST
    name.write_bytes(b"damaged")
    server.files[FIRST] = bytes(len(good))
    with pytest.raises(InputError, match="differs from the published file"):
        fetch("mnist")
    assert name.read_bytes() == b"damaged"
    server.files[FIRST] = good
    fetch("mnist")
    assert name.read_bytes() == good


def test_content_compressed_again_counts_as_published(server, mnist):
    fetch("mnist")
    content = gzip.decompress(server.files[FIRST])
    (mnist / FIRST).unlink()
    (mnist / FIRST.removesuffix(".gz")).write_bytes(content)
    assert all(verdict.good for verdict in verify("mnist"))
    (mnist / FIRST).write_bytes(gzip.compress(content, 1))
    assert all(verdict.good for verdict in verify("mnist"))
    server.asked.clear()
    fetch("mnist")
    assert not server.asked


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the server answers 404"),
        (b"<html>not here</html>", "the server has 21 bytes; expected"),
        (b"", "the server has 0 bytes"),
        (bytes(10**6), "the server has 1000000 bytes"),
    ],
)
def test_a_server_that_has_something_else(server, mnist, content, message):
    server.files[FIRST] = content
    with pytest.raises(InputError, match=message):
        fetch("mnist")
    assert not list(mnist.iterdir())


def test_a_server_that_ends_before_the_part_does(server, mnist):
    mnist.mkdir()
    (mnist / f".{FIRST}.part").write_bytes(b"1234567890")
    server.files[FIRST] = b"short"
    with pytest.raises(InputError, match="the server has 5 bytes"):
        fetch("mnist")
    assert the_first(server) == ["bytes=10-", None]


def test_a_server_that_does_not_stop_is_stopped(server, mnist):
    server.says_length = False
    server.files[FIRST] += bytes(10**6)
    with pytest.raises(InputError, match="too long; expected"):
        fetch("mnist")


def test_a_server_that_sends_another_part(server, mnist, monkeypatch):
    send = Handler.send_header
    monkeypatch.setattr(
        Handler,
        "send_header",
        lambda self, key, value: send(self, key, value.replace("bytes 4-", "bytes 2-")),
    )
    mnist.mkdir()
    (mnist / f".{FIRST}.part").write_bytes(b"1234")
    with pytest.raises(InputError, match="a part that was not requested"):
        fetch("mnist")


def test_offline_is_one_clear_sentence(server, mnist, capsys):
    with pytest.raises(InputError, match=r"cannot be reached \(NewConnectionError\); check"):
        fetch("mnist", url="http://127.0.0.1:1")
    assert not list(mnist.iterdir())


@pytest.mark.parametrize(
    ("name", "url", "message"),
    [
        ("mnist", "ftp://127.0.0.1", "http://"),
        ("mnist", "file:///etc", "http://"),
        ("mnist", "http://", "No host"),
        ("mnist", "http://[", "["),
        ("embedded", None, "name is 'embedded'"),
        ("folder", None, "name is"),
    ],
)
def test_what_cannot_be_fetched(mnist, name, url, message):
    with pytest.raises(InputError) as caught:
        fetch(name, url=url)
    assert message in str(caught.value)


def test_without_pooch_the_sentence_says_what_to_install(mnist, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install pooch"):
        fetch("mnist")


def test_ctrl_c_keeps_what_came(server, mnist):
    """In a process of its own: the first bytes, then nothing, then Ctrl-C."""
    code = f"""if True:
        import sys, bitnet, dataclasses
        from bitnet.__main__ import main
        from bitnet.data.catalogue import PUBLISHED, Stated
        one = Stated({FIRST!r}, {10**6}, {"0" * 32!r})
        PUBLISHED["mnist"] = dataclasses.replace(PUBLISHED["mnist"], downloads=(one,))
        bitnet.cli.run(lambda: main(["data", "fetch", "mnist", "--url", {server.address!r}]))
    """
    server.files[FIRST], waits, done = bytes(10**6), threading.Event(), threading.Event()

    class Slow(Handler):
        def do_GET(self):  # noqa: N802
            self.send_response(200)
            self.send_header("Content-Length", str(10**6))
            self.end_headers()
            self.wfile.write(bytes(200_000))
            waits.set()
            done.wait(60)

    server.RequestHandlerClass = Slow
    user = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert waits.wait(60)
    part = mnist / f".{FIRST}.part"
    while not (part.exists() and part.stat().st_size > 100_000) and user.poll() is None:
        time.sleep(0.01)
    user.send_signal(signal.SIGINT)
    _, err = user.communicate(timeout=60)
    done.set()
    assert user.returncode == 130
    assert err == "stopped: what has arrived is kept; run the same command to resume\n"
    assert part.stat().st_size > 100_000
    assert [path.name for path in mnist.iterdir()] == [part.name]

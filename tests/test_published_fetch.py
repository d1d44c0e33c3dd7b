"""Fetching on request, from a server of our own: resumed, checked, and never half a file under the final name."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from perfrdiff.cli.main import main
from perfrdiff.errors import InputError
from perfrdiff.published.weights import fetch
from perfrdiff.published.weights.source import DOWNLOAD_HINT

CONTENT = np.random.default_rng(0).bytes(300_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """One file, in several moods."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        if self.path == "/missing.zip":
            self.send_error(404)
        elif self.path == "/moved.zip":
            self.answer(302, b"", location="/ranges.zip")
        elif self.path == "/page.zip":
            self.answer(200, b"<html>too many downloads</html>", content_type="text/html; charset=utf-8")
        elif self.path == "/plain.zip":  # as python -m http.server: no ranges, no tag
            self.answer(200, server.content)
        else:
            self.ranges(cut=self.path == "/breaks.zip")

    def ranges(self, cut):
        content, tag = self.server.content, self.server.tag
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and self.headers.get("If-Range") == tag:
            first = int(asked[1])
            if first >= len(content):
                self.answer(416, b"", etag=tag)
                return
            about = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[first:], cut=cut, etag=tag, content_range=about)
        else:
            self.answer(200, content, cut=cut, etag=tag)

    def answer(self, status, body, cut=False, content_type="application/zip", **headers):
        self.send_response(status)
        headers = {"content-length": str(len(body)), "content-type": content_type} | headers
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[:100_000] if cut else body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetch, "WAIT", 0.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.content, server.tag = [], CONTENT, '"one"'
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def address(server):
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def begun(server, address, tmp_path, monkeypatch):
    """A fetch that broke off after 100,000 bytes and was given up."""
    monkeypatch.setattr(fetch, "TRIES", 0)
    with pytest.raises(InputError, match=r"100000 bytes are kept, the same command goes on from there"):
        fetch.download(f"{address}/breaks.zip", tmp_path / "file.zip")
    monkeypatch.undo()
    monkeypatch.setattr(fetch, "WAIT", 0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.zip.part", "file.zip.part.json"]
    server.asked.clear()
    return tmp_path / "file.zip"


def only(path):
    """The file is right, and nothing else is left."""
    return path.read_bytes() == CONTENT and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["ranges.zip", "plain.zip", "moved.zip"])
def test_a_file_comes_whole_with_its_checksum(address, tmp_path, name):
    progress = []
    downloaded = fetch.download(
        f"{address}/{name}", tmp_path / "new" / "file.zip", SUM.upper(), lambda *at: progress.append(at)
    )
    assert only(tmp_path / "new" / "file.zip")
    assert (downloaded.sha256, downloaded.size) == (SUM, len(CONTENT))
    assert progress[0] == (0, len(CONTENT)) and progress[-1] == (len(CONTENT), len(CONTENT))
    assert progress == sorted(progress)


def test_a_breaking_connection_is_gone_on_from(server, address, tmp_path):
    fetch.download(f"{address}/breaks.zip", tmp_path / "file.zip", SUM)
    assert only(tmp_path / "file.zip")
    assert [asked for _, asked in server.asked] == [None, "bytes=100000-", "bytes=200000-"]


def test_a_later_command_goes_on_from_what_is_there(server, address, begun):
    fetch.download(f"{address}/breaks.zip", begun, SUM)
    assert only(begun) and server.asked[0][1] == "bytes=100000-"


def test_a_changed_file_is_not_patched_together(server, address, begun):
    """The half is of the old file; the server has a new one by now."""
    server.tag = '"two"'
    begun.with_name("file.zip.part").write_bytes(b"old" * 30_000)
    fetch.download(f"{address}/breaks.zip", begun, SUM)
    assert only(begun)


def test_a_half_from_another_address_or_of_unknown_origin_is_not_used(server, address, begun):
    fetch.download(f"{address}/ranges.zip", begun, SUM)
    assert only(begun) and server.asked == [("/ranges.zip", None)]


def test_a_server_without_ranges_is_asked_for_the_whole_again(server, address, begun):
    begun.with_name("file.zip.part.json").write_text(f'{{"url": "{address}/plain.zip", "version": "x", "size": null}}')
    fetch.download(f"{address}/plain.zip", begun, SUM)
    assert only(begun) and server.asked == [("/plain.zip", "bytes=100000-")]


def test_a_half_that_is_whole_already_needs_no_byte(address, begun):
    begun.with_name("file.zip.part").write_bytes(CONTENT)
    fetch.download(f"{address}/breaks.zip", begun, SUM)
    assert only(begun)


def test_a_wrong_checksum_leaves_nothing(address, tmp_path):
    with pytest.raises(InputError, match=f"has the SHA-256 {SUM}, not {'0' * 64}"):
        fetch.download(f"{address}/ranges.zip", tmp_path / "file.zip", "0" * 64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing.zip", "answered 404 Not Found for http"), ("page.zip", "gave a web page in place of a file")],
)
def test_a_refusal_is_one_sentence_and_leaves_nothing(address, tmp_path, name, words, capsys):
    assert main(["download", f"{address}/{name}", "--out", str(tmp_path / "file.zip")]) == 2
    printed = capsys.readouterr().err
    assert words in printed and printed.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_no_server_is_one_sentence(tmp_path, server, address):
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch.download(f"{address}/ranges.zip", tmp_path / "file.zip")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(server, address, tmp_path):
    (tmp_path / "file.zip").write_bytes(b"mine")
    with pytest.raises(InputError, match="exists already"):
        fetch.download(f"{address}/ranges.zip", tmp_path / "file.zip", SUM)
    (tmp_path / "file.zip").write_bytes(CONTENT)
    assert fetch.download(f"{address}/ranges.zip", tmp_path / "file.zip", SUM).sha256 == SUM
    assert server.asked == []


@pytest.mark.parametrize(
    ("what", "more", "words"),
    [
        ("ftp://example.org/x.zip", [], "neither a http"),
        ("paper-emotoin", [], "published files paper-emotion, paper-render, external"),
        ("http://127.0.0.1:9/x.zip", ["--sha256", "abc"], "64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_asked_for(what, more, words, tmp_path, capsys):
    assert main(["download", what, "--out", str(tmp_path), *more]) == 2
    assert words in capsys.readouterr().err


def test_the_command_fetches_into_a_folder_and_tells_the_checksum(address, tmp_path, capsys):
    assert main(["download", f"{address}/ranges.zip", "--out", str(tmp_path), "--sha256", SUM]) == 0
    assert only(tmp_path / "ranges.zip") and SUM in capsys.readouterr().out


def test_without_a_name_it_says_where_things_are_published(monkeypatch, capsys):
    monkeypatch.setattr(fetch.httpx, "Client", None)  # and asks nobody
    assert main(["download"]) == 0
    printed = capsys.readouterr().out
    for name, published in fetch.PUBLISHED_FILES.items():
        assert name in printed and published.url in printed
        assert fetch.resolve_address(name)[0].startswith("https://drive.usercontent.google.com/download?id=")
        assert name == "external" or published.url in DOWNLOAD_HINT

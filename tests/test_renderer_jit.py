"""Compiled code on disk: made again after any edit, found where it may not be written, never a fault."""

import importlib
import sys

import pytest
from numba.core import caching

from renderer import jit

CALLER = (
    "from renderer.jit import jit\nfrom made_up_package.part import part\n@jit\ndef whole(x):\n    return part(x) + 1\n"
)
PART = "from renderer.jit import jit\n@jit\ndef part(x):\n    return {factor} * x\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a package with one compiled function that calls that of another file, and imports it as a new process
    would: (factor) -> the module."""
    (folder := tmp_path / "made_up_package").mkdir()
    (folder / "__init__.py").touch()
    (folder / "whole.py").write_text(CALLER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(jit.config, "CACHE_DIR", "")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(factor):
        (folder / "part.py").write_text(PART.format(factor=factor))
        for name in [name for name in sys.modules if name.startswith("made_up_package")]:
            monkeypatch.delitem(sys.modules, name)
        for one in (jit._stamp, jit._own_imports):
            one.cache_clear()
        importlib.invalidate_caches()
        return importlib.import_module("made_up_package.whole")

    return load


def compiled(module):
    return sum(module.whole.stats.cache_misses.values())


def test_an_edit_of_what_is_inlined_is_seen(package, tmp_path):
    assert package(2).whole(10) == 21
    assert list((tmp_path / "made_up_package" / "__pycache__").glob("whole.whole-*.nbc"))
    again = package(2)
    assert again.whole(10) == 21 and compiled(again) == 0
    assert package(3).whole(10) == 31


def test_a_read_only_installation_uses_what_was_compiled_before(package, tmp_path, monkeypatch):
    assert package(2).whole(10) == 21

    def refuse(self):
        raise PermissionError("read-only")

    monkeypatch.setattr(caching.InTreeCacheLocator, "ensure_cache_path", refuse)
    installed = package(2)
    assert installed.whole(10) == 21 and compiled(installed) == 0
    assert installed.whole(0.5) == 2.0 and compiled(installed) == 1, "new types are compiled,"
    assert list((tmp_path / "user").rglob("whole.whole-*.nbc")), "and kept in the user's folder"
    again = package(2)
    assert again.whole(0.5) == 2.0 and compiled(again) == 0


def test_a_full_disk_and_a_damaged_file_end_nothing(package, tmp_path, monkeypatch):
    assert package(2).whole(10) == 21
    for file in (tmp_path / "made_up_package" / "__pycache__").glob("whole.whole-*.nb?"):
        file.write_bytes(file.read_bytes()[:40])

    def full(self, filepath):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "_open_for_write", full)
    damaged = package(2)
    assert damaged.whole(10) == 21 and compiled(damaged) == 1

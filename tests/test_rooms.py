"""The plan of the house: who may import whom, and what lies where. A newcomer who reads it finds it true."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = (
    ("errors", "files", "leftovers", "coefficients", "weights"),
    ("behaviour", "metrics"),
    ("features",),
    ("models",),
    ("sampling",),
    ("personal",),
    ("checkpoints", "data"),
    ("published",),
    ("speaker_streams", "reaction_stream", "reactor"),
    ("pipeline", "exports", "training", "evaluation", "live"),
    ("batch",),
    ("cli",),
)
"""Rooms of perfrdiff/ from the ground up: each imports from its own floor and from those below."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
LIGHT = {"perfrdiff.personal", "perfrdiff.features", "perfrdiff.published.compat"}
"""What holds only limits and names, for whoever must not import anything heavy."""


def modules(*roots):
    """Path of every tracked module below the roots -> the modules and names it imports."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if name.split("/")[0] in roots and (ROOT / name).is_file():
            tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
            imported = set()
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    imported |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    assert node.level == 0, f"{name} has a relative import"
                    imported |= {f"{node.module}.{alias.name}" for alias in node.names}
            yield name, imported


def test_no_import_runs_back_up():
    """One way through: raw media, features, reactions, pixels. An import upwards makes two rooms one."""
    upwards = []
    for name, imported in modules("perfrdiff"):
        room = Path(name).parts[1].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        for module in imported:
            root, *rest = module.split(".")
            if root == "page" and room != "cli":
                upwards.append(f"{name} imports {module}")
            if root == "perfrdiff" and rest[0] in FLOOR and FLOOR[rest[0]] > FLOOR[room]:
                upwards.append(f"{name} imports {module}")
    assert not upwards


def test_the_renderer_knows_nothing_of_diffusion():
    """It can be taken out of the house and used with any coefficients."""
    for name, imported in modules("renderer"):
        assert not [module for module in imported if module.split(".")[0] in ("perfrdiff", "page")], name


@pytest.mark.parametrize(
    ("folder", "files"),
    [
        ("perfrdiff", {"__init__.py", "__main__.py", "checkpoints.py", "coefficients.py", "errors.py", "files.py",
                       "leftovers.py", "react_58d.csv", "reaction_stream.py", "reactor.py", "sampling.py",
                       "speaker_streams.py", "weights.py"}),
    ],
)  # fmt: skip
def test_the_roots_hold_what_the_plan_says(folder, files):
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {Path(name).name for name in listed.splitlines() if len(Path(name).parts) == 2} == files


def test_app_is_short():
    assert len((ROOT / "app.py").read_text(encoding="utf-8").splitlines()) < 100


def test_no_test_imports_another_and_nobody_inserts_into_the_path():
    for name, imported in modules("tests", "tools", "benchmarks", "perfrdiff", "renderer", "page"):
        assert not [module for module in imported if module.startswith("tests.test_")], name
        insertions = [f"sys.{what}" for what in ("path.insert", "path.append", "path[", "path =")]
        assert not [word for word in insertions if word in (ROOT / name).read_text(encoding="utf-8")], name

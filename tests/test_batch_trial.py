"""The short form of tools/batch_trial.py: processes are killed, the command ends, nothing is lost or half-done."""

import random
import subprocess
import sys

import pytest

from tests.support.batch_items import BROKEN, FAILED, GOOD, make_items
from tools.batch_trial import Disturber, compare, unexpected
from tools.batch_trial import rows as table


@pytest.mark.slow
def test_every_kind_of_file_is_made(tmp_path):
    made = make_items(tmp_path, 60, size=64)
    assert {item.kind for item in made} == GOOD.keys() | BROKEN.keys()
    assert all(item.path.is_file() for item in made) and len({item.id for item in made}) == 60
    assert {item.state for item in made if item.kind == "empty"} == {FAILED}


@pytest.mark.slow
def test_a_disturbed_batch_ends_like_a_calm_one(tmp_path):
    made = make_items(tmp_path / "items", 12, size=192)
    command = [
        sys.executable,
        "-m",
        "perfrdiff",
        "batch",
        "features",
        str(tmp_path / "items"),
        "--workers",
        "2",
        "--out",
    ]
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    subprocess.run([*command, calm], check=True, capture_output=True)
    assert unexpected(made, table(calm)) == []
    disturber = Disturber(random.Random(3), kill_every=3.0, stop_every=6.0, most_ends=1)
    disturber.run([*command, str(wild)], wild, tmp_path / "log", "features")
    assert disturber.ends == 1
    if any(row["state"] == "died" for row in table(wild).values()):
        subprocess.run([*command, wild, "--retry-failed"], check=True, capture_output=True)
    slow = [fault for fault in disturber.faults if "Ctrl-C took" in fault]  # other processes have the cores as well
    assert [fault for fault in disturber.faults if fault not in slow] + compare(calm, wild, len(made)) == []

"""Whole data sets: what one bad file costs, what a crash costs, and that the same command goes on."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from perfrdiff.batch import run
from perfrdiff.batch.journal import Journal, item_key
from perfrdiff.batch.manifest import fill_in, read_items, write_items
from perfrdiff.batch.run import BatchRequest, run_batch
from perfrdiff.cli.main import main
from perfrdiff.errors import InputError
from perfrdiff.features.clip import read_speaker
from perfrdiff.features.tables import FeatureTable, read_table, write_table
from tests.support.batch_work import act, acting, here


def files(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


# --- items -----------------------------------------------------------------------------------------------------------


def test_a_folder_a_glob_and_a_table_name_the_same_items(tmp_path):
    folder = files(tmp_path / "in", "a.mp4", "b/c.mov", "b/c.mp4", "notes.txt")
    assert [item.id for item in read_items(str(folder))] == ["a", "b/c", "b/c.mp4"]
    assert [item.id for item in read_items(f"{folder}/**/*.mp4")] == ["a", "b/c"]
    rows = tmp_path / "items.csv"
    rows.write_text("speaker,listener,samples,views\nin/a.mp4,in/b/c.mov,2,mesh photo\n")
    (item,) = read_items(str(rows))
    assert (item.id, item.line, item.settings["views"]) == ("in/a", 2, ["mesh", "photo"])
    request = item.request(tmp_path / "out", seed=7, samples=9)
    assert (request.samples, request.seed, request.views) == (2, 7, ("mesh", "photo"))
    lines = tmp_path / "items.jsonl"
    lines.write_text(json.dumps({"speaker": "in/a.mp4", "id": "x", "truth": "in/b/c.mov;in/a.mp4"}) + "\n\n")
    (item,) = read_items(str(lines))
    assert item.id == "x" and len(item.truth) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("speaker,colour\na.mp4,red\n", "line 2: there is no setting 'colour'"),
        ("speaker\na.mp4\nmissing.mp4\n", "line 3: .*missing.mp4 is not there"),
        ("speaker,samples\na.mp4,2.5\n", "line 2: samples must be a whole number; it is 2.5"),
        ("speaker,samples\na.mp4,11\n", "line 2: samples must lie between 1 and 10"),
        ("speaker,label\na.mp4,maybe\n", "line 2: label must be true or false"),
        ("speaker,id\na.mp4,x\na.mp4,x\n", "line 3: 'x' is also the name of line 2"),
        ("speaker,id\na.mp4,../x\n", "line 2: '../x' cannot name an output"),
        ("speaker,id\na.mp4,/etc/x\n", "line 2: '/etc/x' cannot name an output"),
        ("speaker,out\na.mp4,x\n", "no setting 'out'"),
        ("listener,speaker\na.mp4\n", "line 2: a row has as many cells"),
        ("speaker\n", "has no rows"),
        ("", "has no rows"),
        ("speaker,looks\na.mp4,mesh\n", "line 2: there is no setting 'looks', it is called 'views' now"),
        ("speaker,pose\na.mp4,x\n", "there is no setting 'pose' in version"),
        ("speaker,samples,samples\na.mp4,1,2\n", "line 1: there are two columns 'samples'"),
        ("speaker,id\na.mp4,x\na.mp4,./x\n", "line 3: './x' cannot name an output"),
        ("speaker,id\na.mp4,x\na.mp4,x/y\n", "line 2: 'x' is also the folder of 'x/y'"),
        ("speaker,id\na.mp4,results.csv\n", "line 2: 'results.csv' is a name of the batch's own files"),
        ("speaker,id\na.mp4,.batch-x/y\n", "or hidden"),
        ("speaker\nftp://host/a.mp4\n", "line 2: ftp://host/a.mp4 has a protocol that a batch does not take"),
        ("\xff\xfe", "no table in UTF-8|has no rows"),
        ("speaker\n" + "missing.mp4\n" * 6, "and 3 more"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_sentence_with_its_lines(tmp_path, text, words):
    files(tmp_path, "a.mp4")
    (tmp_path / "items.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_items(str(tmp_path / "items.csv"))


def test_nothing_and_broken_lines_are_told(tmp_path):
    with pytest.raises(InputError, match="no media file"):
        read_items(str(tmp_path))
    (tmp_path / "items.jsonl").write_text('{"speaker": "a.mp4"}\n[1]\n')
    with pytest.raises(InputError, match="line 2: each line"):
        read_items(str(tmp_path / "items.jsonl"))
    files(tmp_path, "a.mp4")
    with pytest.raises(InputError, match="1 items have no listener"):
        run_batch(BatchRequest("react", read_items(str(tmp_path / "a.mp4")), tmp_path / "out"))


def test_hidden_files_and_results_are_no_inputs(tmp_path):
    """What macOS leaves beside a clip, and what an earlier call of the same command wrote."""
    folder = files(tmp_path / "in", "a.mp4", "._a.mp4", ".cache/b.mp4", "a/c.mp4", "out/a.npz")
    items = read_items(str(folder), out=str(folder / "out"))
    assert [item.id for item in items] == ["a/c", "a.mp4"], "a folder a keeps its name"
    with pytest.raises(InputError, match="cannot take the results"):
        read_items(str(folder), out=str(folder))


def test_options_are_checked_once_and_stand_where_rows_say_nothing(tmp_path):
    files(tmp_path, "a.mp4", "b.jpg")
    (tmp_path / "items.csv").write_text("speaker,samples\na.mp4,2\na.mp4,\n".replace("a.mp4,\n", "b.jpg,\n"))
    items = read_items(str(tmp_path / "items.csv"))
    filled = fill_in(items, {"samples": "4", "listener": str(tmp_path / "b.jpg")})
    assert [item.settings["samples"] for item in filled] == ["2", "4"]
    write_items(filled, tmp_path / "again.jsonl")
    assert [item.files["listener"].name for item in read_items(str(tmp_path / "again.jsonl"))] == ["b.jpg", "b.jpg"]
    with pytest.raises(InputError, match="samples must lie between"):
        fill_in(items, {"samples": "99"})
    with pytest.raises(InputError, match=r"nobody\.jpg is not there"):
        fill_in(items, {"listener": str(tmp_path / "nobody.jpg")})


def test_ten_thousand_broken_rows_are_one_sentence(tmp_path):
    (tmp_path / "items.csv").write_text("speaker\n" + "".join(f"{number}.mp4\n" for number in range(10_000)))
    with pytest.raises(InputError, match=r"line 2: .*; line 4: .*; and 9997 more") as told:
        read_items(str(tmp_path / "items.csv"))
    assert len(str(told.value)) < 1_000


# --- processes that die ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_whatever_happens_to_one_item_the_others_are_done(tmp_path):
    folder = files(
        tmp_path / "in", "one.mp4", "two.mp4", "die-once.mp4", "die-always.mp4", "hang.mp4", "refuse.mp4", "break.mp4"
    )
    request = BatchRequest("features", read_items(str(folder)), tmp_path / "out", workers=2, deadline=4.0, quiet=True)
    result = run_batch(request, acting)
    rows = table(result.table)
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {
        "one": "done", "two": "done", "die-once": "done", "die-always": "died", "hang": "late", "refuse": "failed",
        "break": "failed",
    }  # fmt: skip
    assert rows["refuse"]["sentence"] == "refuse is no video." and rows["one"]["frames"] == "3"
    assert "ZeroDivisionError" in rows["break"]["sentence"] and result.failures == 4
    page = result.summary.read_text()
    assert "4 done" not in page and "3 done" in page and "Refuse is no video." in page and "http" not in page


@pytest.mark.slow
def test_the_same_command_goes_on_and_does_only_what_is_left(tmp_path):
    folder = files(tmp_path / "in", "one.mp4", "two.mp4", "refuse.mp4")
    out = tmp_path / "out"

    def again(**more):
        request = BatchRequest("features", read_items(str(folder)), out, workers=1, quiet=True, **more)
        return run_batch(request, acting).done_now

    assert again() == 3 and again() == 0
    assert again(retry_failed=True) == 1, "what failed, where it is asked for"
    (folder / "one.mp4").write_bytes(b"another film")
    assert again() == 1, "another content is another item"
    (out / "two.npz").unlink()
    assert again() == 1, "outputs that are gone are made again"
    assert again(options={"layout": "table", "x": 1}) == 3, "other options are other results"
    journal = out / "journal-features.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])  # cut short by a crash
    assert again(options={"layout": "table", "x": 1}) == 1


def test_shares_are_disjoint_and_complete(tmp_path):
    folder = files(tmp_path / "in", *(f"{number}.mp4" for number in range(40)))
    items = read_items(str(folder))

    def share(number, count):
        done = []

        def note(jobs, *_):
            done.extend(job.item.id for job in jobs)
            yield from ()

        run_batch(BatchRequest("features", items, tmp_path / "out", shard=(number, count), quiet=True), note)
        return set(done)

    shares = [share(number, 3) for number in (1, 2, 3)]
    assert (
        sum(map(len, shares)) == 40
        and set().union(*shares) == {item.id for item in items}
        and min(map(len, shares)) > 5
    )
    with pytest.raises(InputError, match="no share 4/3"):
        share(4, 3)


def test_a_full_disk_stops_the_batch_in_a_sentence_and_it_goes_on(tmp_path, monkeypatch):
    folder = files(tmp_path / "in", *(f"{number}.mp4" for number in range(4)))
    request = BatchRequest("features", read_items(str(folder)), tmp_path / "out", quiet=True)
    monkeypatch.setattr(run, "LEAST_FREE", 1 << 60)
    with pytest.raises(InputError, match="nearly full"):
        run_batch(request, here)
    monkeypatch.undo()
    assert run_batch(request, here).failures == 0 and len(table(tmp_path / "out" / "results.csv")) == 4


def test_outputs_of_other_inputs_do_not_outlive_them(tmp_path):
    """A clip that was done, and is broken now, has a row that says so and no output of its former self."""
    folder = files(tmp_path / "in", "one.mp4", "two.mp4")

    def refuse(action, item, where, options):
        raise InputError("It is broken.")

    def again(do):
        request = BatchRequest("features", read_items(str(folder)), tmp_path / "out", quiet=True)
        return run_batch(request, lambda *arguments: here(*arguments, do=do))

    again(act)
    (folder / "one.mp4").write_bytes(b"broken")
    assert again(refuse).failures == 1
    assert not (tmp_path / "out" / "one.npz").exists() and (tmp_path / "out" / "two.npz").exists()


def test_the_key_stands_for_inputs_settings_weights_and_action(tmp_path):
    folder = files(tmp_path / "in", "a.mp4")
    (item,) = read_items(str(folder))
    key = item_key(item, "react", {"samples": 3}, "weights")
    others = [
        item_key(item, "render", {"samples": 3}, "weights"),
        item_key(item, "react", {"samples": 4}, "weights"),
        item_key(item, "react", {"samples": 3}, "others"),
    ]
    assert item_key(item, "react", {"samples": 3}, "weights") == key and key not in others and len(set(others)) == 3


def heed_ctrl_c():
    """A job in a shell's background ignores it, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def own_processor_seconds(pid):
    """Of a process without its children, also when it has ended and nobody has taken note of that."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"), words[0]


def lives(pid):
    try:
        return own_processor_seconds(pid)[1] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_ctrl_c_waits_for_nothing_and_leaves_whole_items_only(tmp_path):
    """Two seconds on an idle machine; on a busy one the processor time counts, and that no item is waited for."""
    names = [*(f"slow-{number:02}.mp4" for number in range(14)), "spawn-and-hang-1.mp4", "spawn-and-hang-2.mp4"]
    folder, out = files(tmp_path / "in", *names), tmp_path / "out"
    script = tmp_path / "run.py"
    script.write_text(f"""
from pathlib import Path
from perfrdiff.batch.manifest import read_items
from perfrdiff.batch.run import BatchRequest, run_batch
from tests.support.batch_work import acting
if __name__ == "__main__":
    run_batch(BatchRequest("features", read_items({str(folder)!r}), Path({str(out)!r}), workers=2, quiet=True), acting)
""")
    running = subprocess.Popen(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": "."},
        stderr=subprocess.DEVNULL,
        preexec_fn=heed_ctrl_c,
    )
    spawned = [out / f"spawn-and-hang-{number}.begun.pid" for number in (1, 2)]
    until = time.monotonic() + 120
    while time.monotonic() < until and not all(path.is_file() and path.read_text() for path in spawned):
        time.sleep(0.1)
    grandchildren = [int(path.read_text()) for path in spawned]
    assert all(map(lives, grandchildren))
    used, _ = own_processor_seconds(running.pid)
    running.send_signal(signal.SIGINT)
    began = time.monotonic()
    while own_processor_seconds(running.pid)[1] != "Z":
        time.sleep(0.02)
        assert time.monotonic() - began < 30, "both items last 60 s"
    assert own_processor_seconds(running.pid)[0] - used < 1.0
    assert running.wait() != 0 and not any(map(lives, grandchildren))
    before = Journal(out / "journal-features.jsonl").outcomes
    rows = table(out / "results.csv")
    assert len(rows) == len(before) == 14 and {row["state"] for row in rows.values()} == {"done"}
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    for number in (1, 2):
        (folder / f"spawn-and-hang-{number}.mp4").unlink()
        (folder / f"fast-{number}.mp4").write_bytes(b"x")
    result = run_batch(BatchRequest("features", read_items(str(folder)), out, workers=2, quiet=True), acting)
    assert result.done_now == 2 and result.failures == 0 and len(result.outcomes) == 16


@pytest.mark.slow
def test_the_process_that_gives_out_items_loads_nothing_that_takes_seconds(tmp_path):
    """Else Ctrl-C would have to wait for its loading, or for the end of all that is loaded."""
    folder = files(tmp_path / "in", "one.mp4")
    script = f"""
import sys
from perfrdiff.cli.main import main
from tests.support.batch_work import here
import perfrdiff.batch.pool
perfrdiff.batch.pool.run_jobs = here
given = ["--out", {str(tmp_path / "out")!r}, "--quiet"]
main(["batch", "features", {str(folder)!r}, *given])
main(["batch", "react", {str(folder)!r}, "--listener", {str(folder / "one.mp4")!r}, *given])
print([name for name in ("torch", "mediapipe", "numba", "scipy", "cv2", "gradio") if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.split("\n")[-2] == "[]", told.stdout
    assert (tmp_path / "out" / "journal-react.jsonl").is_file()


def test_ctrl_c_comes_after_an_import_and_at_once_elsewhere(tmp_path):
    (tmp_path / "slow_to_load.py").write_text("""
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.2)
is_whole = True
""")
    script = """
import sys
from perfrdiff.batch.ctrl_c import ends_at_once, waits_for_imports
with waits_for_imports():
    try:
        import slow_to_load
        import time
        time.sleep(10)
    except KeyboardInterrupt:
        print(slow_to_load.is_whole, flush=True)
del sys.modules["slow_to_load"]
with ends_at_once():
    import slow_to_load
print("it went on")
"""
    told = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), "."])},
        preexec_fn=heed_ctrl_c,
        capture_output=True,
        text=True,
    )
    assert (told.stdout, told.returncode) == ("True\n", -signal.SIGINT), told.stderr


# --- the real work ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def features(tmp_path_factory, speaker):
    """A features file of the example speaker, so that nobody is tracked again and again."""
    read = read_speaker(speaker)
    path = tmp_path_factory.mktemp("features") / "talk.npz"
    write_table(
        path, FeatureTable(read.coefficients, read.attributes, read.audio, read.quality, True, hearing=read.hearing)
    )
    return path


@pytest.mark.slow
def test_features_of_a_folder_are_those_of_the_single_command(tmp_path, speaker, capsys):
    folder = files(tmp_path / "in", "broken.mp4")
    (folder / "talk.mp4").write_bytes(speaker.read_bytes())
    assert main(["batch", "features", str(folder), "--out", str(tmp_path / "out"), "--workers", "1", "--quiet"]) == 0
    assert main(["features", str(speaker), "--out", str(tmp_path / "talk.npz")]) == 0
    assert (tmp_path / "out" / "talk.npz").read_bytes() == (tmp_path / "talk.npz").read_bytes()
    rows = table(tmp_path / "out" / "results.csv")
    assert (
        rows["broken"]["state"] == "failed" and rows["talk"]["frames"] == "50" and float(rows["talk"]["face_seen"]) == 1
    )
    assert len(read_table(tmp_path / "out" / "talk.npz").coefficients) == 50
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_reactions_are_made_evaluated_and_drawn(tmp_path, features, portrait, weights):
    rows = tmp_path / "items.csv"
    rows.write_text(f"id,speaker,style,truth\nx/one,{features},Warm,{features}\nx/two,{features},Calm,\n")
    out = tmp_path / "out"
    settings = ["--listener", str(portrait), "--samples", "2", "--seed", "5", "--weights", weights, "--workers", "1"]
    assert main(["batch", "react", str(rows), "--out", str(out), *settings, "--quiet"]) == 0
    made = sorted(path.name for path in (out / "x" / "one").iterdir())
    assert made == ["coefficients.npz", "reaction_1.csv", "reaction_2.csv", "settings.json"]
    numbers = (out / "x" / "one" / "coefficients.npz").read_bytes()
    assert json.loads((out / "x" / "two" / "settings.json").read_text())["listening_style"] == "Calm"
    assert main(["batch", "evaluate", str(out), "--workers", "1", "--quiet"]) == 0
    rows = table(out / "results.csv")
    assert (
        float(rows["x/one"]["FRDiv"]) > 0
        and -1 <= float(rows["x/one"]["FRCorr"]) <= 1
        and rows["x/two"]["FRCorr"] == ""
    )
    assert main(["batch", "render", str(out), "--views", "mesh", "--workers", "1", "--quiet"]) == 0
    assert (out / "x" / "one" / "side_by_side.mp4").is_file()
    with np.load(out / "x" / "one" / "coefficients.npz") as drawn:
        assert drawn["coefficients"].shape[0] == 2
    assert (out / "x" / "one" / "coefficients.npz").read_bytes() == numbers, "the same numbers, and now drawn"
    assert "data:image/jpeg" in (out / "summary.html").read_text()

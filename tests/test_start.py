"""Starting: what is loaded when, how threads wait, and that nothing is compiled in front of a visitor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from perfrdiff.coefficients import neutral
from perfrdiff.pipeline.run import load_reactor, styles
from perfrdiff.reactor import Reactor
from perfrdiff.weights import summary
from tests.support.clips import EXAMPLES, cut

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "scipy", "numba", "mediapipe", "onnxruntime", "av", "matplotlib", "perfrdiff.pipeline.run")
FIRST_THREADS = """if True:
    import os, runpy, sys

    class Watch:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name in ("torch", "numpy"):  # their threads wait as the environment says now
                print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("OPENBLAS_THREAD_TIMEOUT"))
                sys.stdout.flush()
                os._exit(0)

    sys.meta_path.insert(0, Watch)
    what, sys.argv = sys.argv[1], sys.argv[1:]
    if what == "app.py":
        runpy.run_path(what, run_name="__main__")
    elif "import" in what:
        exec(what)
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    print("neither torch nor numpy was imported")
"""
WARM_UP = """if True:
    import json, sys
    from pathlib import Path
    from perfrdiff.cli.main import main
    from perfrdiff.pipeline.request import ReactRequest
    from renderer import jit

    def ready():
        return {f"{name} {one}" for name, types in jit.signatures().items() for one in types}

    assert main(["warm-up"]) == 0
    from perfrdiff.pipeline.run import react
    speaker, listener, photo, out = map(Path, sys.argv[1:])
    warm, needed = ready(), {}
    jobs = {
        "video": {"listener": listener, "transparent": True, "size": 224, "samples": 2},
        "made up": {"listener": photo, "mesh_identity": "Kofi", "size": 512, "views": ("mesh",)},
    }
    for name, settings in jobs.items():
        react(ReactRequest(speaker=speaker, out=out / name, **{"samples": 1, "steps": 2} | settings))
        needed[name] = sorted(ready() - warm)
    print(json.dumps({"warm": len(warm), "needed": needed}))
"""


def python(*arguments: str | Path, **environment: str) -> str:
    """What a fresh interpreter prints that runs code from here."""
    clean = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY",)}
    command = [sys.executable, "-c", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("entry", "arguments"),
    [
        ("perfrdiff", ["styles"]),
        ("perfrdiff", ["page"]),
        ("app.py", []),
        ("perfrdiff.training.demo", []),
        ("renderer.portrait.pirender", ["--help"]),
        ("benchmarks.listener_setup", []),
        ("tools.contact_sheet", ["--help"]),
        ("import perfrdiff, torch", []),
        ("import renderer.mesh", []),
    ],
)
def test_threads_are_told_to_sleep_before_anything_starts_one(entry, arguments):
    """Threads that spin made a listener's set-up of 9 s take 103 on a busy machine."""
    assert python(FIRST_THREADS, entry, *arguments) == "passive 4"
    assert python(FIRST_THREADS, entry, *arguments, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE 4"


@pytest.mark.parametrize("folder", ["benchmarks", "tools"])
def test_every_script_says_so_through_its_package(folder):
    assert "import perfrdiff" in (ROOT / folder / "__init__.py").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_is_there_before_anything_heavy_is_loaded(tmp_path, weights):
    code = f"""if True:
        import json, sys
        from pathlib import Path
        from page.server import main
        from page.build import build
        from page.live import LiveServer
        from page.live_heads import LiveHeads
        build({weights!r}, Path({str(tmp_path)!r}), LiveServer(lambda: None), LiveHeads())
        print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
    """
    assert json.loads(python(code)) == []


@pytest.mark.slow
def test_what_nobody_needs_is_not_loaded_later_either(weights):
    """torch's compiler took 1 s of every start, and matplotlib, which MediaPipe asks for, half a second."""
    code = f"""if True:
        import sys
        from perfrdiff.features.tracking.landmarker import FaceTracker
        from perfrdiff.pipeline.run import load_reactor
        load_reactor({weights!r})
        FaceTracker(streaming=False).close()
        assert not {{"torch._dynamo", "sympy", "matplotlib"}} & set(sys.modules)
        from mediapipe.tasks.python.vision import drawing_utils
        import matplotlib, matplotlib.pyplot
        print(drawing_utils.plt.figure is matplotlib.pyplot.figure and matplotlib.__version__ != "")
    """
    assert python(code) == "True"


@pytest.mark.slow
def test_after_the_warm_up_no_run_compiles_anything(tmp_path, speaker):
    """A visitor's run calls no compiled loop with types that `perfrdiff warm-up` has not called it with."""
    listener = cut(EXAMPLES / "listener.mp4", tmp_path / "listener.mp4", 2.4)
    found = json.loads(python(WARM_UP, speaker, listener, EXAMPLES / "portrait.jpg", tmp_path))
    assert found["warm"] >= 15
    assert found["needed"] == {"video": [], "made up": []}


def test_the_summary_is_what_the_loaded_weights_say(weights):
    about, reactor = summary(weights), load_reactor(weights)
    assert about.styles == styles(reactor)
    assert about.guidance_scale == reactor.checkpoint.sampling.guidance
    assert (about.name, about.description) == (reactor.checkpoint.name, reactor.checkpoint.description)


def test_a_small_network_runs_on_one_thread_wherever_it_runs(weights):
    reactor = Reactor(load_reactor(weights).checkpoint)
    threads = []
    networks = reactor.checkpoint.style_encoder, reactor.checkpoint.denoiser, reactor.checkpoint.weight_editor
    hooks = [one.register_forward_pre_hook(lambda *_: threads.append(torch.get_num_threads())) for one in networks]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        rows = np.repeat(neutral()[None], 50, axis=0)
        reactor.style_of(rows)
        reactor.set_listener(reactor.styles[0])
        reactor.react(None, rows, hearing=np.zeros((50, 8), np.float32), samples=1, steps=2)
        assert torch.get_num_threads() == 2, "whoever called keeps the threads"
    finally:
        torch.set_num_threads(before)
        for hook in hooks:
            hook.remove()
    assert len(threads) >= 4 and set(threads) == {1}

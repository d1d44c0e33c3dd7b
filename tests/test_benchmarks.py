"""The benchmarks whose machine is not always there run through, small: one that does not run measures nothing."""

import json

import pytest
import torch

from benchmarks import gpu, published


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks on two threads spend their time waiting beside any other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_everything_for_a_card_runs_without_one(tmp_path):
    """Every part but those that need CUDA has figures, none failed, and the networks agree with the plain path."""
    out = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu", "--tiny", "--json", str(out)]) == 0
    lines = json.loads(out.read_text())["lines"]
    figures = {line["what"] for line in lines if isinstance(line["value"], float)}
    for what in (
        "emotion: float32",
        "render: bfloat16",
        "render, corrected: float32",
        "PIRender 64², 2 frames, float32",
    ):
        assert what in figures
    exact = [float(line["off by"]) for line in lines if line["what"].endswith(": float32")]
    assert len(exact) == 3 and max(exact) < 1e-4
    assert {line["value"] for line in lines if "graph" in line["what"]} == {"left out: needs CUDA"}


def test_a_card_that_is_not_there_is_said(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_a_part_that_fails_stops_no_other(capsys):
    run = gpu.Run(torch.device("cpu"), True, float("inf"))
    run.part("first", lambda: torch.zeros(2) @ torch.zeros(3))
    run.part("second", lambda: run.add("second", 1.0))
    assert run.lines[0]["value"].startswith("failed: RuntimeError") and run.lines[1]["value"] == 1.0
    run.until = 0.0
    run.part("third", lambda: run.add("third", 1.0))
    assert run.lines[2]["value"] == "left out: no time"


@pytest.mark.slow
def test_the_published_order_is_the_same_network():
    """What is timed against ours predicts the same: an order of work, not another work."""
    with torch.inference_mode():
        for variant in published.VARIANTS:
            case = published.Case(variant, 2, published.TINY)
            case.set_up()
            torch.testing.assert_close(case.step(), case.published_order(), atol=1e-4, rtol=0)
            assert case.operations() > 1e6

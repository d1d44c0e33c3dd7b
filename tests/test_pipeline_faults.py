"""What a machine can lack in the middle of a run: one sentence, nothing left over, and the next run works."""

import os
import resource

import pytest
import torch

from perfrdiff.errors import InputError
from perfrdiff.features import speech_activity
from perfrdiff.features.tracking import landmarker
from perfrdiff.pipeline import run as pipeline
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.reactor import Reactor
from renderer.errors import RenderError


@pytest.fixture
def ask(tmp_path, speaker, portrait, weights):
    settings = {"samples": 1, "size": 224, "steps": 2, "views": "mesh", "weights": weights}
    return lambda out="out": ReactRequest(speaker=speaker, listener=portrait, out=tmp_path / out, **settings)


def refused(make, request, words):
    with pytest.raises((InputError, RenderError), match=words) as caught:
        make(request)
    assert "\n" not in str(caught.value)
    assert not request.out.exists() or list(request.out.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("make", [pipeline.react, pipeline.react_in_numbers])
def test_a_disk_that_becomes_full_while_results_are_written(ask, make):
    """The system's own limit on the length of a file stands for the disk: the encoder, too, gets its error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        refused(make, ask(), "(The results could not|cannot) be written.* make room")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    pipeline.react_in_numbers(ask("next"))


@pytest.mark.slow
def test_a_graphics_card_without_memory(ask, monkeypatch):
    def react_to(self, *args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(Reactor, "react_to", react_to)
    refused(pipeline.react_in_numbers, ask(), "^The graphics card has too little memory for this run; .* device cpu")
    monkeypatch.undo()
    pipeline.react_in_numbers(ask("next"))


@pytest.mark.slow
@pytest.mark.parametrize("module", [landmarker, speech_activity])
def test_a_model_that_is_missing_is_named(ask, monkeypatch, tmp_path, module):
    for name in vars(module):  # a model that was loaded before would do
        if hasattr(cached := getattr(module, name), "cache_clear"):
            cached.cache_clear()
    monkeypatch.setattr(module, "MODEL", tmp_path / "gone.task")
    refused(pipeline.react_in_numbers, ask(), r"model .*gone\.task is missing; restore it from the repository")
    monkeypatch.undo()
    pipeline.react_in_numbers(ask("next"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(ask, tmp_path):
    (tmp_path / "shut").mkdir(mode=0o555)
    refused(pipeline.react_in_numbers, ask("shut/out"), "cannot be written .*; name another one")


def test_a_place_that_cannot_be_a_folder(ask, tmp_path):
    (tmp_path / "file").write_text("x")
    refused(pipeline.react_in_numbers, ask("file/out"), "cannot be written .*; name another one")

"""Marks on the page: each says what a listener did, and what of the speaker's it answers."""

import numpy as np

from perfrdiff.behaviour.card import measure_behaviour
from perfrdiff.behaviour.cues import ANSWER_WINDOW, PHRASE_END, SMILE, Cue, cued_events, smile_starts
from perfrdiff.behaviour.events import SMILING
from perfrdiff.data.simulator.motion import Motion

FRAMES = 250


def clip(nods=(), smiles=(), blinks=(), smile_size=0.4):
    """Ten seconds of a face that does this and nothing else."""
    motion = Motion(FRAMES)
    for start in nods:
        motion.nod(start, 6.0, 2.2, 2.0)
    for start in smiles:
        motion.add("mouthSmile", smile_size * motion.envelope(start, 0.5, 1.0, 0.5))
    for start in blinks:
        motion.blink(start, 0.7)
    return motion.coefficients()


def events_of(rows, ends=(), smiles=(), kind=None):
    return [event for event in cued_events(rows, ends, smiles) if kind in (None, event.kind)]


def test_every_movement_is_found_once_and_in_order_of_time():
    found = events_of(clip(nods=(2.0, 7.0), smiles=(4.0,), blinks=(1.0, 9.0)))
    assert [event.kind for event in found] == ["blink", "nod", "smile", "nod", "blink"]
    assert all(0 <= event.start < event.end <= FRAMES / 25 for event in found)
    assert all(event.cue is None for event in found), "nothing happened that could be answered"


def test_a_nod_answers_the_phrase_that_has_just_ended():
    rows = clip(nods=(3.0,))
    (nod,) = events_of(rows, kind="nod")
    earliest, latest = ANSWER_WINDOW
    for end in (nod.start - latest + 0.02, nod.start - earliest - 0.02):  # the nod may begin before the phrase is over
        assert events_of(rows, [end], kind="nod")[0].cue == Cue(PHRASE_END, end)
    for end in (nod.start - latest - 0.02, nod.start - earliest + 0.02):
        assert events_of(rows, [end], kind="nod")[0].cue is None
    close = nod.start - 0.3
    assert events_of(rows, [close - 0.6, close], kind="nod")[0].cue == Cue(PHRASE_END, close), "the last is answered"


def test_a_smile_answers_a_smile_before_the_end_of_a_phrase_and_a_nod_answers_none():
    rows = clip(nods=(7.0,), smiles=(3.0,))
    smile, nod = events_of(rows, kind="smile")[0], events_of(rows, kind="nod")[0]
    before, end = smile.start - 0.8, smile.start - 0.1
    assert events_of(rows, [end], [before], "smile")[0].cue == Cue(SMILE, before)
    assert events_of(rows, [end], [before - 5], "smile")[0].cue == Cue(PHRASE_END, end)
    assert events_of(rows, [], [smile.start + 0.2], "smile")[0].cue is None, "nobody answers what comes later"
    assert events_of(rows, [], [nod.start - 0.5], "nod")[0].cue is None


def test_what_nobody_would_call_a_smile_is_not_marked():
    faint = clip(smiles=(3.0,), smile_size=SMILING - 0.05)
    assert events_of(faint, kind="smile") == [] and measure_behaviour(faint).smiles == 0, "nor counted on the card"
    smiling = clip(smiles=(3.0,))
    np.testing.assert_allclose(smile_starts(smiling), [3.0], atol=0.25)
    assert measure_behaviour(smiling).smiles == 6, "one in ten seconds"


def test_a_movement_that_the_clip_cuts_off_ends_with_it():
    (nod,) = events_of(clip(nods=(9.1,)), kind="nod")
    assert nod.end <= FRAMES / 25

"""The instruments of the evaluation: on reactions of which the truth is known they say the truth."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from perfrdiff.behaviour import events
from perfrdiff.cli.main import main
from perfrdiff.data.simulator.habits import draw_habits
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.motion import Motion
from perfrdiff.errors import InputError
from perfrdiff.evaluation import demo, intervals, observe, report
from perfrdiff.evaluation.dyads import EvaluationSettings, draw_dyad, simulate_shared
from perfrdiff.evaluation.observe import measure_person
from perfrdiff.evaluation.recognition import recognition_probability

SETTINGS = EvaluationSettings(
    persons=8, speakers=2, samples=2, seconds=20.0, redraws=3, truth_clips=5, pool=5, bank_persons=40, bank_clips=3,
    long_style=False,
)  # fmt: skip


def moved(draw):
    motion = Motion(500)
    draw(motion)
    return motion.coefficients()


def test_nods_are_counted_and_measured():
    def draw(motion):
        for start in (2.0, 6.0, 11.0):
            motion.nod(start, 6.0, 2.5, 2.0)
        motion.offsets[:, 53] += np.radians(8) * motion.step(15.0, 1.0)  # a turn of the head is no nod

    nods = events.nods(moved(draw))
    assert nods.start == pytest.approx([2.0, 6.0, 11.0], abs=0.15)
    assert nods.size == pytest.approx([5.0] * 3, abs=1.2)
    assert nods.frequency == pytest.approx([2.5] * 3, rel=0.25)


def test_blinks_are_counted_and_measured():
    blinks = events.blinks(moved(lambda motion: [motion.blink(t, 0.7) for t in (1.0, 4.0, 4.6)]))
    assert blinks.time == pytest.approx([1.0, 4.0, 4.6], abs=0.05)
    assert blinks.peak == pytest.approx([0.7] * 3, abs=0.1)
    assert (blinks.opening > blinks.closing).all() and (blinks.width < 0.2).all()


def test_smiles_are_counted_and_measured():
    def draw(motion):
        motion.add("mouthSmile", 0.5 * motion.envelope(3.0, 0.6, 1.5, 0.8))
        motion.add("mouthSmile", 0.02 * np.sin(motion.time))

    smiles = events.smiles(moved(draw))
    assert smiles.start == pytest.approx([3.1], abs=0.12)
    assert smiles.size == pytest.approx([0.5], abs=0.05) and smiles.length == pytest.approx([2.7], abs=0.4)
    assert smiles.onset == pytest.approx([0.6 * 0.6], abs=0.15)


def test_a_face_that_never_moves_has_no_events():
    still = moved(lambda motion: None)
    assert (
        not len(events.nods(still).start) and not len(events.blinks(still).time) and not len(events.smiles(still).start)
    )


DYADS = {}


def drawn(shared, index):
    """`draw_dyad`, once for each person: speakers take a second to simulate."""
    if index not in DYADS:
        DYADS[index] = draw_dyad(shared, index)
    return DYADS[index]


class Oracle:
    """Reacts with the simulator itself: as the person or as `anybody`; `deaf`: to a speaker other than the given."""

    checkpoint = SimpleNamespace(window_frames=(75, 50), calibration=None)

    def __init__(self, shared, index, deaf=False, anybody=False):
        self.dyad, self.deaf, self.anybody, self.index = drawn(shared, index), deaf, anybody, index

    def set_listener(self, listener):
        self.nobody = self.anybody or not np.array_equal(listener, self.dyad.style)

    def react(self, audio, coefficients, *, hearing, face_seen, samples, seed, steps, guidance):
        every = [*self.dyad.speakers, self.dyad.long_speaker]
        speaker = next(s for s in every if s is not None and np.array_equal(s.coefficients, coefficients))
        if self.deaf:
            another = next(s for s in self.dyad.speakers if s is not speaker)
            speaker = SimpleNamespace(coefficients=coefficients, events=another.events)
        rng = np.random.default_rng([7, seed])
        habits = draw_habits(rng) if self.nobody else self.dyad.habits
        clips = [simulate_listener(speaker, habits, rng) for _ in range(samples)]
        return SimpleNamespace(coefficients=np.stack(clips))


@pytest.fixture(scope="module")
def shared():
    return simulate_shared(SETTINGS)


def table(shared, monkeypatch, **kind):
    monkeypatch.setattr(observe, "draw_dyad", drawn)
    monkeypatch.setattr(intervals, "RESAMPLES", 30)
    records = [measure_person(Oracle(shared, i, **kind), shared, i) for i in range(SETTINGS.persons)]
    return {row.title: row for row in demo.rows(records, shared.classifiers)}


NODS = "clear nods -0.2 to 1.2 s from phrase ends, by elsewhere"
SMILES = "smile level after smiles, by that elsewhere"
YAW = "head angles: yaw, r with the truth"
PICKED = "picked from 8 by event features, one reaction"


@pytest.mark.slow
def test_the_simulators_own_reactions_pass_and_those_of_others_do_not(shared, monkeypatch):
    rows = table(shared, monkeypatch)
    assert rows[NODS].estimate.value > 1.8
    assert rows[SMILES].estimate.value > 1.3
    assert 0.7 < rows["FRDiv of samples, by that of the simulator's redraws"].estimate.value < 1.4
    assert rows[YAW].estimate.value > 0.9
    assert rows[PICKED].estimate.value > 0.8 and rows[PICKED].met
    assert rows["FRCorr (corrected)"].estimate.value > rows["FRCorr of mean sequence"].estimate.value
    lively = [row.estimate.value for row in rows.values() if row.section == "lively"]
    assert len(lively) == 25 and np.median(lively) == pytest.approx(1.0, abs=0.15)
    assert "| weights alone |" in report.markdown(list(rows.values()))

    others = table(shared, monkeypatch, deaf=True, anybody=True)
    assert others[NODS].estimate.value < 1.8
    assert others[SMILES].estimate.value < 1.3
    assert others[PICKED].estimate.value < 0.5 and not others[PICKED].met
    assert abs(others[YAW].estimate.value) < 0.8


@pytest.mark.slow
def test_the_same_person_is_drawn_again(shared):
    a, b = draw_dyad(shared, 3), drawn(shared, 3)
    assert np.array_equal(a.style, b.style) and np.array_equal(a.redraws, b.redraws)
    assert not np.array_equal(a.style, drawn(shared, 4).style)


def test_chance_of_being_picked_among_ten():
    scores = np.zeros((1, 100))
    scores[0, 5] = 1.0
    assert recognition_probability(scores, np.array([5])) == 1.0
    assert recognition_probability(scores, np.array([6]), 2)[0] == pytest.approx(98 / 99)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((400, 50))
    assert recognition_probability(noise, np.zeros(400, int)).mean() == pytest.approx(0.1, abs=0.03)


@pytest.mark.slow
def test_intervals_hold_the_truth():
    inside = 0
    for seed in range(60):
        interval = intervals.mean(np.random.default_rng(seed).normal(2.0, 1.0, 40))
        inside += interval.low < 2.0 < interval.high
    assert inside >= 50


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_command_measures_the_shipped_weights_and_goes_on_where_it_stopped(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 30)
    arguments = [
        "evaluate", "demo", "--weights", weights, "--pool", "3",
        "--persons", "2", "--speakers", "1", "--samples", "1", "--seconds", "10",
        "--steps", "2", "--redraws", "2", "--truth-clips", "5", "--bank-persons", "40",
        "--workers", "1", "--keep", str(tmp_path / "keep"), "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    assert main(arguments) == 0
    first = capsys.readouterr().out
    rows = json.loads((tmp_path / "out" / "behaviour.json").read_text())
    assert {"listen", "differ", "somebody", "lively", "plausible"} == {row["section"] for row in rows}
    assert any(row["what"] == "drift over 2 minutes, by the simulator's" for row in rows)
    assert (tmp_path / "out" / "habits.png").stat().st_size > 1000
    assert main(arguments) == 0
    again = capsys.readouterr()
    assert " 2/2 " in again.err and " 1/2 " not in again.err  # read, not made again
    assert first.split("### They listen")[1] == again.out.split("### They listen")[1]


def test_settings_that_cannot_be_measured_are_refused():
    with pytest.raises(InputError, match="seconds"):
        demo.check(EvaluationSettings(seconds=4))
    with pytest.raises(InputError, match="redraws"):
        demo.check(EvaluationSettings(redraws=1))

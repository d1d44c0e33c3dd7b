"""The short form of `make soak`: a few visitors at once, with good and bad input, against the page as it is started."""

import pytest

from tools import load_inputs, load_trial


@pytest.mark.slow
def test_under_load_everybody_gets_what_is_theirs_and_nothing_stays(weights, monkeypatch):
    """No lost run, no other's result, the same bits as alone, no file, no process; one visitor leaves in the middle."""
    good, bad = load_inputs._good, load_inputs._bad
    monkeypatch.setattr(
        load_inputs, "_good", lambda *args: [one for one, _ in zip(good(*args), range(3), strict=False)]
    )
    monkeypatch.setattr(load_inputs, "_bad", lambda *args: list(bad(*args))[1:7:2])
    trial = load_trial.run(clients=4, jobs=10, seconds=1.0, live=0, weights=weights)
    assert trial.faults == []
    assert trial.ends["same bits"] >= 3 and trial.ends["refused"] >= 2 and trial.ends["left"] == 1

"""Sharpening: the editor sees chosen habits of a style larger, and everything else as it was."""

import copy

import pytest
import torch

from perfrdiff.behaviour.event_features import EVENT_FEATURES
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig
from perfrdiff.training.demo.sharpening import SHARPENED, sharpen

PERSONS, CLIPS, STYLE = 700, 3, 16
FEATURES = len(EVENT_FEATURES)


class Persons:
    """A corpus whose persons differ in two habits, each of which is one number of the style."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.habits = torch.randn(PERSONS, 2, generator=generator)
        self.features = torch.randn(PERSONS * CLIPS, FEATURES, generator=generator) * 0.01
        for column, name in enumerate(("nod frequency", "pitch")):
            self.features[:, EVENT_FEATURES.index(name)] += self.habits[:, column].repeat_interleave(CLIPS)
        self.tracked = torch.zeros(PERSONS * CLIPS, 4, 8)
        self.tracked_features = self.features[:, None].expand(-1, 3, -1)
        self.tokens = 4

    def clips_of(self):
        return torch.arange(PERSONS * CLIPS).reshape(PERSONS, CLIPS)


class TwoNumbers(torch.nn.Module):
    """A style encoder: the two habits in the first two places of a style."""

    def forward(self, tokens, events):
        style = torch.zeros(len(events), STYLE)
        style[:, 0], style[:, 1] = (
            events[:, EVENT_FEATURES.index("nod frequency")],
            events[:, EVENT_FEATURES.index("pitch")],
        )
        return style


@pytest.fixture
def editor():
    torch.manual_seed(1)
    targets = {"output.weight": (6, 5)}
    return WeightEditor(WeightEditorConfig(style=STYLE, hidden=12, rank=2, shared_factors=True, targets=targets))


def test_a_habit_is_seen_larger_by_its_share_and_the_others_as_they_are(editor):
    persons, before = Persons(), copy.deepcopy(editor)
    sharpen(editor, TwoNumbers(), persons, {"nod frequency": 1.0})
    mean = TwoNumbers()(None, persons.features[::CLIPS]).mean(0)
    for place, factor in ((0, 2.0), (1, 1.0), (2, 1.0)):
        style = mean.clone()
        style[place] += 1.0
        as_if = mean.clone()
        as_if[place] += factor
        torch.testing.assert_close(editor.shared[0](style), before.shared[0](as_if), atol=0.03, rtol=0)


def test_the_usual_person_stays_as_they_were(editor):
    persons, before = Persons(), copy.deepcopy(editor)
    sharpen(editor, TwoNumbers(), persons)
    mean = TwoNumbers()(None, persons.features[::CLIPS]).mean(0)
    torch.testing.assert_close(editor.shared[0](mean), before.shared[0](mean), atol=1e-4, rtol=0)


def test_no_share_changes_nothing(editor):
    before = copy.deepcopy(editor.state_dict())
    sharpen(editor, TwoNumbers(), Persons(), {})
    assert all(torch.equal(before[name], value) for name, value in editor.state_dict().items())


def test_every_share_is_of_a_feature_that_there_is():
    assert set(SHARPENED) <= set(EVENT_FEATURES)

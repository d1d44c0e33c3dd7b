"""The weight editor whose listeners share factors: what the demo weights stand on."""

import pytest
import torch

from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig

TARGETS = {"output.weight": (6, 8), "layers.0.linear1.weight": (10, 8)}
SHARED = WeightEditorConfig(style=4, hidden=12, rank=3, targets=TARGETS, shared_factors=True)


def shifts_of(editor, style):
    return {name: edit.left @ edit.right for name, edit in editor(style).items()}


@pytest.fixture
def editor():
    torch.manual_seed(0)
    return WeightEditor(SHARED)


def test_an_untrained_editor_shifts_nothing(editor):
    shifts = shifts_of(editor, torch.randn(5, 4))
    assert {name: tuple(shift.shape) for name, shift in shifts.items()} == {
        name: (5, *shape) for name, shape in TARGETS.items()
    }
    assert all(shift.abs().max() == 0 for shift in shifts.values())


def test_listeners_take_more_or_less_of_the_same_factors(editor):
    for factor in editor.left_factor:
        torch.nn.init.normal_(factor)
    shift = shifts_of(editor, torch.randn(40, 4))["output.weight"]
    assert not torch.allclose(shift[0], shift[1])
    assert torch.linalg.matrix_rank(shift.flatten(1), atol=1e-4) <= SHARED.rank


def test_it_begins_with_what_linear_probes_read_of_a_listener(editor):
    """The amounts are linear in the probes: nobody's habits are cut off at zero."""
    probe_weights = torch.randn(5, 4)
    editor.initialize_from_probe(probe_weights)
    amounts = torch.cat([amount(editor.shared(torch.randn(30, 4))) for amount in editor.amount], dim=1)
    assert amounts.std(0).min() > 0.1
    one, other = torch.randn(2, 4)
    amounts_of = [editor.amount[0](editor.shared(style)) for style in (one, other, one + other)]
    assert torch.allclose(amounts_of[0] + amounts_of[1], amounts_of[2], atol=1e-4)


def test_impossible_editors_are_refused():
    with pytest.raises(ValueError, match="factors to share"):
        WeightEditorConfig(shared_factors=True)
    with pytest.raises(ValueError, match="hidden width of 14"):
        WeightEditor(SHARED).initialize_from_probe(torch.randn(7, 4))

"""What is taught after training: styles are spread by what was tried, and disguised faces keep what tells a person."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from perfrdiff import checkpoints
from perfrdiff.data.motion_codec import MotionCodec
from perfrdiff.features.coefficients import CHANNEL, ROTATION
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig
from perfrdiff.training import calibrate as cal
from perfrdiff.training.disguise import OtherListeners
from perfrdiff.training.movement import NOD_BANDS, courses

STYLE = 12


def styles_of(rng, habits):
    """Styles that hold three habits along directions of their own, and something else."""
    directions = np.linalg.qr(rng.standard_normal((STYLE, STYLE)))[0]
    other = rng.standard_normal((len(habits), STYLE - 3))
    return habits @ directions[:3] + 0.3 * other @ directions[3:] + 0.2, directions


def test_a_style_is_read_and_moved_along_what_it_says():
    rng = np.random.default_rng(0)
    habits = rng.standard_normal((500, 3))
    styles, directions = styles_of(rng, habits)
    reading = cal.StyleReading.fit(styles, habits, ridge=1e-6)
    assert np.abs(reading.habits(styles) - habits).max() < 0.2
    assert np.allclose(reading.habits(styles + 2.0 * reading.moves[1]) - reading.habits(styles), [[0, 2, 0]], atol=1e-5)
    assert reading.moves[0] @ directions[0] == pytest.approx(1.0, abs=0.05)


def test_the_correction_undoes_what_two_habits_have_in_common():
    rng = np.random.default_rng(1)
    answer = np.array([[0.5, 0.2, 0.0], [0.3, 0.4, 0.0], [0.0, 0.0, 1.0]])
    said, moves = rng.standard_normal((400, 3)), rng.standard_normal((400, 3))
    shown = said @ answer + moves @ answer + 0.05 * rng.standard_normal((400, 3)) + 0.7
    of_style, of_move = cal.answers(said, moves, shown)
    assert np.allclose(of_style, answer, atol=0.02) and np.allclose(of_move, answer, atol=0.02)
    move = cal.correction(of_style, of_move, ridge=1e-9)
    assert np.allclose(of_style + move @ of_move, np.eye(3), atol=1e-6)
    assert np.abs(cal.correction(of_style, of_move, ridge=1.0)).max() < np.abs(move).max()


def test_the_editor_takes_the_map_into_its_first_layer():
    rng = np.random.default_rng(2)
    habits = rng.standard_normal((200, 3))
    styles, _ = styles_of(rng, habits)
    reading = cal.StyleReading.fit(styles, habits)
    moves = rng.standard_normal((3, 3))
    editor = WeightEditor(
        WeightEditorConfig(style=STYLE, hidden=16, rank=2, targets={"output.weight": (58, 24)}, shared_factors=True)
    )
    torch.nn.init.normal_(editor.left_factor[0])
    asked = torch.tensor(styles[:5] + reading.habits(styles[:5]) @ moves @ reading.moves).float()
    with torch.no_grad():
        before = editor(asked)["output.weight"].left
        cal.build_in(editor, reading, moves)
        after = editor(torch.tensor(styles[:5]).float())["output.weight"].left
    assert torch.allclose(before, after, atol=1e-4) and before.std() > 0


def test_calibration_of_a_checkpoint_changes_its_editor_and_nothing_else(monkeypatch):
    """With reactions made up, whose nods answer to the style's first number."""
    made = checkpoints.load("demo")
    corpus = _corpus(made.normalizer)
    before = {name: value.clone() for name, value in made.denoiser.state_dict().items()}
    editor = made.weight_editor.shared[0].weight.clone()
    asked = []

    def shown(reactor, style, heard, samples, seed):
        asked.append(style)
        return np.tile([0.5, 4.0 + 100 * style[0], 8, 30, 10, 0.1, 0.1, 180, 0, 0], (samples * len(heard), 1))

    monkeypatch.setattr(cal, "_shown", shown)
    lines = []
    cal.calibrate(made, corpus, cal.Calibration(known=8, persons=8, speakers=1, samples=1), lines.append)
    assert len(asked) == 8 and len({style.tobytes() for style in asked}) == 8
    assert lines and "before calibration" in lines[-1]
    assert not torch.equal(made.weight_editor.shared[0].weight, editor)
    assert all(torch.equal(value, before[name]) for name, value in made.denoiser.state_dict().items())


def _corpus(codec):
    class Few:
        listener = 0.5 * torch.randn(16, 60, codec.widths["listener"], generator=torch.Generator().manual_seed(3))

        def clips_of(self):
            return torch.arange(16).reshape(8, 2)

    few = Few()
    few.codec = codec
    return few


@pytest.fixture(scope="module")
def codec() -> MotionCodec:
    return checkpoints.load("demo").normalizer


def test_disguised_listeners_keep_head_and_blinks(codec):
    """What was counted stays to be counted; channels in which simulated listeners are still begin to wander."""
    clip = torch.zeros(40, 100, 58)
    clip[:, :, ROTATION.start] = np.pi
    clip[..., CHANNEL["rotationX"]] += torch.deg2rad(2 * torch.sin(torch.arange(100) * 2 * np.pi * 1.7 / 25))
    tokens = codec.coefficients(clip)
    disguise = OtherListeners.of(codec, share=1.0)
    other = disguise(tokens, torch.Generator().manual_seed(0))
    assert (other - tokens).std(1).median() > 0.15
    nodding = NOD_BANDS.index(1.7)
    kept = courses(codec.raw_coefficients(other))[:, 15:-15, nodding] / courses(clip)[:, 15:-15, nodding]
    assert (kept.mean(1) - 1).abs().max() < 0.25
    frames = codec.raw_coefficients(other) - codec.raw_coefficients(tokens)
    assert frames[..., CHANNEL["jawOpen"]].std() > 3 * frames[..., CHANNEL["eyeBlinkLeft"]].std()


def test_some_listeners_are_shown_as_they_are(codec):
    tokens = torch.randn(200, 20, codec.widths["listener"], generator=torch.Generator().manual_seed(1))
    other = OtherListeners.of(codec, share=0.6)(tokens, torch.Generator().manual_seed(2))
    alike = (other == tokens).all(2).all(1).float().mean()
    assert 0.25 < alike < 0.55
    again = OtherListeners.of(codec, share=0.6)(tokens, torch.Generator().manual_seed(2))
    assert torch.equal(other, again)


def test_a_style_encoder_with_a_limit_takes_no_notice_of_how_far_beyond_it_a_number_is():
    config = StyleEncoderConfig(width=16, layers=1, heads=2, feedforward=16, projection=8, dropout=0.0, limit=2.0)
    encoder = StyleEncoder(config).eval()
    clip = torch.randn(1, 30, 58, generator=torch.Generator().manual_seed(0))
    far, farther = clip.clone(), clip.clone()
    far[0, 3, 7], farther[0, 3, 7] = 2.0, 60.0
    with torch.no_grad():
        assert torch.equal(encoder(far), encoder(farther))
        plain = StyleEncoder(replace(config, limit=None)).eval()
        plain.load_state_dict(encoder.state_dict())
        assert not torch.allclose(plain(far), plain(farther))

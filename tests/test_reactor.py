"""The object people use, with small random weights made here, and with the shipped ones."""

import shutil

import numpy as np
import pytest
import torch

from perfrdiff import checkpoints
from perfrdiff.coefficients import CHANNEL, EXPRESSION, UNTRUSTED_COLUMNS, neutral
from perfrdiff.data.simulator.habits import NAMED_STYLES, ListenerHabits
from perfrdiff.data.simulator.listener import simulate_tracked_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.errors import InputError
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.listening_codec import ListeningCodec
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, render_targets
from perfrdiff.reactor import Reactor
from perfrdiff.sampling import SamplingOptions
from tests.support.tiny_checkpoint import tiny_checkpoint


@pytest.fixture(scope="module")
def speaker():
    return simulate_speaker(np.random.default_rng(1), 3.0)


@pytest.fixture
def reactor():
    return Reactor(tiny_checkpoint(), "cpu")


def test_shapes_and_ranges(reactor, speaker):
    reactions = reactor.react_to(speaker, samples=2)
    assert reactions.coefficients.shape == (2, 75, 58)
    assert reactions.coefficients[..., EXPRESSION].min() >= 0 and reactions.coefficients[..., EXPRESSION].max() <= 1
    assert reactions.listener == "Generic"


def test_the_seed_decides(reactor, speaker):
    def run(**options):
        return reactor.react_to(speaker, **options).coefficients

    assert np.array_equal(run(seed=3), run(seed=3))
    assert not np.allclose(run(seed=3), run(seed=4), atol=1e-3)
    assert np.allclose(run(seed=3, samples=3)[1], run(seed=3, samples=6)[1], atol=1e-4)


def test_a_loaded_reactor_is_not_changed_by_what_is_written_over_its_file(tmp_path):
    path = tmp_path / "weights.safetensors"
    shutil.copy(checkpoints.path_of("demo"), path)
    loaded, kept = checkpoints.load(str(path)), checkpoints.load()
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
    for name in ("denoiser", "style_encoder", "weight_editor", "normalizer", *checkpoints.FITTED):
        expected = getattr(kept, name).state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in getattr(loaded, name).state_dict().items()), name
    assert all(torch.equal(style, kept.styles[name]) for name, style in loaded.styles.items())


def test_a_listener_shifts_the_weights_and_can_be_taken_off(reactor, speaker):
    def run():
        return reactor.react_to(speaker, samples=1).coefficients

    generic = run()
    reactor.set_listener("Warm")
    personal = run()
    reactor.set_listener("Warm", strength=0.0)
    none = run()
    reactor.set_listener(None)
    assert not np.allclose(generic, personal, atol=1e-3)
    assert np.allclose(generic, none, atol=1e-5)
    assert np.array_equal(generic, run())


def test_a_long_behaviour_counts_to_its_end(reactor):
    """The encoder takes 100 frames; of a longer clip more than its first 100 frames make the style."""
    rng = np.random.default_rng(0)
    lively, calm = (np.tile(neutral() + size * rng.standard_normal((10, 58)), (43, 1)) for size in (0.2, 0.02))
    assert torch.allclose(reactor.style_of(lively), reactor.style_of(lively[:100]), atol=1e-5), "alike all along"
    other = reactor.style_of(np.concatenate([lively[:330], calm[330:]]))
    starts = [reactor.style_of(clip) for clip in (lively[:100], calm[:100])]
    assert float(starts[0] @ other) < 0.999 and float(starts[1] @ other) > float(starts[1] @ starts[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, c: (a[:, :70], c), "expected"),
        (lambda a, c: (a[:-3], c), "72 frames"),
        (lambda a, c: (a, np.where(np.arange(58) == 4, np.nan, c)), "not finite"),
        (lambda a, c: (a[:0], c[:0]), "expected"),
    ],
)
def test_bad_speakers_are_named(reactor, speaker, change, message):
    with pytest.raises(InputError, match=message):
        reactor.react(*change(speaker.audio, speaker.coefficients))


def test_bad_listeners_are_named(reactor):
    with pytest.raises(InputError, match=r"at least 25"):
        reactor.set_listener(np.tile(neutral(), (20, 1)))
    with pytest.raises(InputError, match="Present: Warm"):
        reactor.set_listener("Grumpy")
    with pytest.raises(InputError, match="Strength"):
        reactor.set_listener("Warm", strength=3)


def test_a_checkpoint_survives_the_disk(tmp_path, speaker):
    checkpoint = tiny_checkpoint()
    checkpoints.save(checkpoint, tmp_path / "tiny.safetensors")
    assert checkpoints.available(tmp_path) == ("tiny",)
    again = checkpoints.load("tiny", tmp_path)
    assert again.denoiser.config == checkpoint.denoiser.config and again.sampling == checkpoint.sampling
    reactors = Reactor(checkpoint, "cpu"), Reactor(again, "cpu")
    before, after = (one.react_to(speaker, samples=1) for one in reactors)
    assert np.array_equal(before.coefficients, after.coefficients)
    assert len(after.weights_sha256) == 64


def test_half_the_numbers_half_the_file(tmp_path, speaker):
    checkpoint = tiny_checkpoint()
    checkpoints.save(checkpoint, tmp_path / "whole.safetensors")
    checkpoints.save(checkpoint, tmp_path / "half.safetensors", half=True)
    sizes = {name: (tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "half")}
    assert sizes["half"] < 0.6 * sizes["whole"]
    again = checkpoints.load("half", tmp_path)
    assert next(again.weight_editor.parameters()).dtype == torch.float32
    reactors = [Reactor(checkpoint, "cpu"), Reactor(again, "cpu")]
    for reactor in reactors:
        reactor.set_listener("Warm")
    full, half = (r.react_to(speaker, samples=1).coefficients for r in reactors)
    assert np.abs(full - half).max() < 0.02


def token_checkpoint(speaker):
    """As `tiny_checkpoint`, for tokens of five frames."""
    faces = speaker.coefficients[None]
    codec = ListeningCodec.fit(faces, speaker.hearing[None])
    widths = codec.widths
    config = DenoiserConfig(
        features=widths["listener"], width=32, layers=2, heads=4, feedforward=48, window=6, reaction_delay=2,
        speaker_window=8, context=3, time_in_query=True, norm_first=True, prediction="velocity",
        condition_widths={
            "audio": widths["audio"], "coefficients": widths["coefficients"], "past_listener": widths["listener"]
        },
    )  # fmt: skip
    encoder = StyleEncoderConfig(
        coefficients=widths["listener"], width=16, layers=1, heads=2, feedforward=24, projection=16, max_tokens=20
    )
    editor = WeightEditorConfig(style=16, hidden=24, rank=2, targets=render_targets(config))
    sampling = SamplingOptions(steps=4, guidance=1.0, slide=4, clamp=6.0)
    networks = Denoiser(config).eval(), StyleEncoder(encoder).eval(), WeightEditor(editor).eval()
    return checkpoints.Checkpoint(*networks, codec, {}, sampling)


@pytest.mark.parametrize("frames", [75, 73, 4])
def test_weights_of_tokens_give_every_frame(tmp_path, speaker, frames):
    torch.manual_seed(0)
    checkpoint = token_checkpoint(speaker)
    assert checkpoint.window_frames == (30, 20)
    checkpoints.save(checkpoint, tmp_path / "tokens.safetensors")
    reactor = Reactor(checkpoints.load("tokens", tmp_path), "cpu")
    reactor.set_listener(speaker.coefficients)
    heard, face = speaker.hearing[:frames], speaker.coefficients[:frames]
    reactions = reactor.react(None, face, hearing=heard, samples=2)
    assert reactions.coefficients.shape == (2, frames, 58)


def test_no_frame_knows_what_the_speaker_will_do(speaker):
    """But for 0.3 s, over which neighbouring tokens are smoothed."""
    torch.manual_seed(0)
    reactor = Reactor(token_checkpoint(speaker), "cpu")
    coefficients, hearing = speaker.coefficients.copy(), speaker.hearing.copy()
    coefficients[41:, :52] += 0.3
    hearing[41:] += 1.0
    before = reactor.react_to(speaker, samples=1).coefficients[0]
    after = reactor.react(None, coefficients, hearing=hearing, face_seen=speaker.face_seen, samples=1).coefficients[0]
    assert np.abs(before - after)[:38].max() < 1e-5  # the last before a changed token are smoothed with it
    assert np.abs(before - after)[45:].max() > 1e-3


def test_wrong_weights_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="no weights named 'paper'"):
        checkpoints.load("paper", tmp_path)
    (tmp_path / "junk.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match=r"junk\.safetensors cannot be read"):
        checkpoints.load("junk", tmp_path)


def test_a_missing_tensor_is_named(tmp_path):
    checkpoint = tiny_checkpoint()
    keep = checkpoint.denoiser.state_dict
    checkpoint.denoiser.state_dict = lambda *a, **k: {n: t for n, t in keep().items() if n != "output.bias"}
    checkpoints.save(checkpoint, tmp_path / "tiny.safetensors")
    with pytest.raises(InputError, match=r"missing output\.bias"):
        checkpoints.load("tiny", tmp_path)


@pytest.fixture(scope="module")
def shipped():
    return Reactor.load("demo", "cpu")


def test_shipped_weights_are_small_and_have_styles(shipped):
    assert (checkpoints.FOLDER / "demo.safetensors").stat().st_size < 40e6
    assert set(shipped.styles) == set(NAMED_STYLES)


def test_channels_that_a_tracker_cannot_be_trusted_on_change_nothing(shipped):
    """Trackers read movement where there is none; a speaker's cheeks and tongue shall not make a listener nod."""
    speaker = simulate_speaker(np.random.default_rng(8), 6.0)
    shipped.set_listener(None)

    def reaction(channels, seed):
        rows = speaker.coefficients.copy()
        wander = np.cumsum(np.random.default_rng(1).normal(0, 0.02, (len(rows), len(channels))), axis=0)
        rows[:, channels] = np.clip(np.abs(rows[:, channels] + wander), 0, 1)
        return shipped.react(
            speaker.audio, rows, hearing=speaker.hearing, face_seen=speaker.face_seen, samples=1, seed=seed
        ).coefficients

    for seed in (0, 1):
        plain = shipped.react_to(speaker, samples=1, seed=seed).coefficients
        unseen, seen = (
            np.abs(reaction(names, seed) - plain).max() for names in (UNTRUSTED_COLUMNS, (CHANNEL["jawOpen"],))
        )
        assert unseen < 5e-3 and seen > 10 * unseen


def test_a_voice_alone_is_answered_and_so_is_a_face(shipped):
    """Somebody who is only heard, or only seen; and one of whom there is nothing is refused."""
    speaker = simulate_speaker(np.random.default_rng(8), 4.0)
    shipped.set_listener(None)
    both = shipped.react_to(speaker, samples=1).coefficients
    heard = shipped.react(None, None, hearing=speaker.hearing, samples=1).coefficients
    seen = shipped.react(None, speaker.coefficients, samples=1).coefficients
    assert both.shape == heard.shape == seen.shape == (1, 100, 58)
    assert min(np.abs(heard - both).max(), np.abs(seen - both).max(), np.abs(heard - seen).max()) > 1e-3
    with pytest.raises(InputError, match="neither a voice nor a face"):
        shipped.react(None, None, samples=1)


def test_features_without_what_is_listened_to_are_refused(shipped):
    """Features files of 0.1.0 have MFCCs and nothing else of the sound."""
    speaker = simulate_speaker(np.random.default_rng(8), 2.0)
    with pytest.raises(InputError, match="make them anew: perfrdiff features VIDEO"):
        shipped.react(speaker.audio, speaker.coefficients, samples=1)


@pytest.mark.slow
def test_shipped_styles_change_the_reaction(shipped):
    """Every named style changes the reaction at the same seed."""
    speaker = simulate_speaker(np.random.default_rng(11), 4.0)

    def react(style):
        shipped.set_listener(style)
        return shipped.react_to(speaker, samples=1, seed=1).coefficients

    reactions = [react(style) for style in shipped.styles]
    for i, one in enumerate(reactions):
        assert all(np.abs(one - other).max() > 1e-3 for other in reactions[:i])


@pytest.mark.slow
def test_shipped_weights_carry_how_a_listener_holds_the_head(shipped):
    """A listener who looks to the left reacts looking further to the left than one who looks to the right."""
    speaker = simulate_speaker(np.random.default_rng(11), 6.0)

    def mean_yaw(rest_yaw):
        clip = simulate_tracked_listener(
            simulate_speaker(np.random.default_rng(2), 30.0),
            ListenerHabits(rest_yaw=rest_yaw),
            np.random.default_rng(3),
        )
        shipped.set_listener(clip)
        reactions = shipped.react_to(speaker, samples=4, seed=1)
        return np.degrees(reactions.coefficients[..., CHANNEL["rotationY"]].mean())

    assert mean_yaw(12.0) - mean_yaw(-12.0) > 6.0


@pytest.mark.slow
def test_shipped_weights_answer_a_smile(shipped):
    """Over several speakers, reactions smile more after the speaker began to smile or laugh than elsewhere."""
    after, elsewhere = [], []
    shipped.set_listener(None)
    for seed in range(3):
        speaker = simulate_speaker(np.random.default_rng(seed), 20.0)
        smile = shipped.react_to(speaker, samples=10).coefficients[..., 43:45].mean(axis=(0, 2))
        near = np.zeros(len(smile), bool)
        for event in speaker.events:
            if event.kind in ("smile", "laugh"):
                near[int((event.time + 0.8) * 25) : int((event.time + 3.5) * 25)] = True
        after.append(smile[near])
        elsewhere.append(smile[~near])
    assert np.concatenate(after).mean() > 1.3 * np.concatenate(elsewhere).mean()


def test_shipped_weights_know_a_listener_by_the_behaviour(shipped):
    """Two clips of one simulated person lie closer in style than clips of two persons."""
    people = [NAMED_STYLES["Warm"], NAMED_STYLES["Calm"]]
    speakers = [simulate_speaker(np.random.default_rng(i), 30.0) for i in (1, 2)]
    styles = [
        [
            shipped.style_of(simulate_tracked_listener(s, p, np.random.default_rng(10 * i + j)))
            for j, s in enumerate(speakers)
        ]
        for i, p in enumerate(people)
    ]
    same = min(float(pair[0] @ pair[1]) for pair in styles)
    other = float(styles[0][0] @ styles[1][1])
    assert same > other


def test_the_weights_say_what_they_are_without_naming_a_file(weights):
    """Visitors read it at the foot of the page."""
    description = checkpoints.load(weights).description
    assert "simulated" in description and ".py" not in description

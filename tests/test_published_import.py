"""The authors' files as people have them: a zip goes in, reactions come out; what does not fit is named."""

import io
import json
import pickle

import av
import numpy as np
import pytest
import torch

from perfrdiff import checkpoints
from perfrdiff.cli.main import main
from perfrdiff.coefficients import EXPRESSION, react_mean
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.features.tables import FeatureTable, write_table
from perfrdiff.published import inference
from perfrdiff.published.compat import reasons
from perfrdiff.published.weights import convert
from perfrdiff.reactor import Reactor
from tests.support.clips import EXAMPLES, cut
from tests.support.published_folder import reduced_tables, write_folder, write_zip


@pytest.fixture(scope="module")
def speaker():
    return simulate_speaker(np.random.default_rng(1), 3.0)


@pytest.fixture(scope="module", params=["emotion", "render"])
def imported(request, tmp_path_factory):
    """A published folder, zipped as Drive does it, imported: variant, folder of the weights, its source."""
    folder = tmp_path_factory.mktemp(request.param)
    source = write_zip(write_folder(folder / "source", request.param), folder / "checkpoints.zip")
    out = folder / "weights"
    imported = convert.import_weights(source, out, tables=reduced_tables())
    assert [weights.name for weights in imported] == [f"paper-{request.param}"]
    assert sorted(path.name for path in out.iterdir()) == [f"paper-{request.param}.safetensors"], "leftovers"
    assert "mean of REACT 2024" in imported[0].notes[0]
    return request.param, out, source


@pytest.fixture
def reactor(imported):
    variant, out, _ = imported
    return Reactor(checkpoints.load(f"paper-{variant}", out), "cpu")


@pytest.mark.slow
def test_from_zip_to_reactions(imported, reactor, speaker):
    variant = imported[0]
    reactor.set_listener(speaker.coefficients)
    reactions = reactor.react_to(speaker, samples=2, steps=4)
    assert reactions.coefficients.shape == (2, 75, 58) and np.isfinite(reactions.coefficients).all()
    assert reactions.coefficients[..., EXPRESSION].min() >= 0 and reactions.coefficients[..., EXPRESSION].max() <= 1
    assert reactions.weights == f"paper-{variant}" and len(reactions.weights_sha256) == 64
    assert (reactions.attributes is not None) == (variant == "emotion")


@pytest.mark.slow
def test_from_zip_to_reaction_videos(imported, tmp_path, portrait):
    """The whole way at the shell: the imported file, a talking clip and a photo in; videos, and the shift, out."""
    variant, weights, _ = imported
    clip = cut(EXAMPLES / "speaker.mp4", tmp_path / "speaker.mp4", 2.0)
    path = weights / f"paper-{variant}.safetensors"
    options = ["--speaker", clip, "--listener", portrait, "--samples", 1, "--steps", 4, "--weights", path]
    reactions = {}
    for compat, views in (("corrected", ("mesh", "photo")), ("published", ("mesh",))):
        more = ["--out", tmp_path / compat, "--compat", compat, "--views", *views]
        more += ["--save-shift", tmp_path / f"{compat}.safetensors"]
        assert main(["react", *map(str, options + more)]) == 0
        settings = json.loads((tmp_path / compat / "settings.json").read_text())
        assert settings["weights"]["name"] == f"paper-{variant}" and settings["settings"]["compat"] == compat
        for name in ("side_by_side.mp4", *(f"reaction_1_{view}.mp4" for view in views)):
            with av.open(str(tmp_path / compat / name)) as video:
                frames = [frame.to_ndarray(format="gray") for frame in video.decode(video=0)]
            assert len(frames) == 50 and frames[0].std() > 10, f"{name} is empty"
        with np.load(tmp_path / compat / "coefficients.npz") as file:
            reactions[compat] = file["coefficients"]
    assert reactions["corrected"].shape == (1, 50, 58) and not np.allclose(
        reactions["corrected"], reactions["published"], atol=1e-3
    )
    more = ["--out", tmp_path / "again", "--shift", tmp_path / "corrected.safetensors", "--views", "mesh"]
    assert main(["react", *map(str, options + more)]) == 0
    with np.load(tmp_path / "again" / "coefficients.npz") as file:
        np.testing.assert_allclose(file["coefficients"], reactions["corrected"], atol=1e-6)


QUIRKS = {
    "discard_last_call": ("emotion", "render"),
    "audio_range_over_call": ("render",),
    "isolated_windows": ("render",),
    "out_of_range": ("emotion",),
}
"""Fault of the published code -> the variants that have it."""


def louder_at_the_end(audio):
    """The range of the whole clip and that of what the windows hear, which ends a little earlier, differ."""
    return np.concatenate([audio[:-3], 2 * audio[-3:] + 5])


@pytest.mark.slow
@pytest.mark.parametrize("quirk", reasons())
def test_every_quirk_can_be_chosen_in_python_and_changes_something(imported, reactor, speaker, quirk):
    """Whoever asks which fault explains a difference to the published code turns them on one by one."""
    audio = louder_at_the_end(speaker.audio)
    plain, faulty = (
        reactor.react(audio, speaker.coefficients, samples=1, steps=4, compat=compat) for compat in ("corrected", quirk)
    )
    rows = [
        reactions.attributes if quirk == "out_of_range" else reactions.coefficients for reactions in (plain, faulty)
    ]
    if imported[0] in QUIRKS[quirk]:
        assert not np.allclose(*rows, atol=1e-6)
    else:
        np.testing.assert_allclose(plain.coefficients, faulty.coefficients, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("quirk", reasons())
def test_every_quirk_can_be_chosen_at_the_shell(imported, tmp_path, portrait, speaker, quirk):
    variant, weights, _ = imported
    if variant not in QUIRKS[quirk]:
        pytest.skip(f"the {variant} variant does not have this fault")
    rows, audio = speaker.coefficients, louder_at_the_end(speaker.audio)
    quality = np.zeros(len(rows), np.uint8)
    write_table(tmp_path / "talk.npz", FeatureTable(rows, facial_attributes(rows), audio, quality))
    base = ["react", "--speaker", tmp_path / "talk.npz", "--listener", portrait, "--samples", 1, "--steps", 4]
    base += ["--views", "mesh"]
    base += ["--weights", weights / f"paper-{variant}.safetensors"]
    reactions = []
    for compat in ("corrected", quirk):
        assert main([*map(str, base), "--out", str(tmp_path / compat), "--compat", compat]) == 0
        with np.load(tmp_path / compat / "coefficients.npz") as file:
            reactions.append(file["coefficients"])
    assert not np.allclose(*reactions, atol=1e-6)


@pytest.mark.slow
def test_the_imported_networks_are_the_files(imported, reactor):
    """Every published number arrives: the style of the imported encoder is that of the file's own tensors."""
    variant = imported[0]
    from perfrdiff.published.weights import variants
    from tests.support.published_folder import published_weights

    for seed, file in enumerate(reduced_tables()[variant]):
        imported_tensors = getattr(reactor.checkpoint, file.network).state_dict()
        published_tensors = variants.RENAME_TENSORS[file.network](published_weights(file, seed))
        assert imported_tensors.keys() == published_tensors.keys()
        assert all(torch.equal(imported_tensors[key], published_tensors[key]) for key in published_tensors)


@pytest.mark.slow
def test_the_published_way_is_the_fixtures_way(imported, reactor, speaker):
    """compat="published" of the reactor is published.inference, whose numbers the fixtures prove."""
    variant = imported[0]
    reactions = reactor.react_to(speaker, samples=2, steps=4, compat="published")
    checkpoint = reactor.checkpoint
    model = inference.PublishedModel(checkpoint.denoiser, checkpoint.autoencoder)
    from perfrdiff.features.attributes import facial_attributes

    rows = (speaker.audio, speaker.coefficients - react_mean(), facial_attributes(speaker.coefficients))
    streams = inference.SpeakerClips(*(torch.tensor(row, dtype=torch.float32)[None] for row in rows))
    options = inference.SamplingOptions(steps=4, slide=5)
    noise = inference.seeded_noise(model, streams, 2, options, 0)
    out = inference.infer(model, streams, noise, options, compat=inference.Compat.parse("published")).reactions[0]
    if variant == "emotion":
        torch.testing.assert_close(torch.tensor(reactions.attributes), out)
        out = checkpoint.autoencoder.regress(out)
    expected = (out + torch.tensor(react_mean())).detach().numpy()
    np.testing.assert_allclose(reactions.coefficients[..., 52:], expected[..., 52:], atol=1e-5)
    corrected = reactor.react_to(speaker, samples=2, steps=4)
    assert not np.allclose(corrected.coefficients, reactions.coefficients, atol=1e-3)


@pytest.mark.slow
def test_named_styles_serve_a_listener_of_whom_there_is_a_photo(reactor, speaker):
    assert len(reactor.styles) >= 3
    reactions = []
    for style in reactor.styles[:2]:
        reactor.set_listener(style)
        reactions.append(reactor.react_to(speaker, samples=1, steps=4).coefficients)
    assert not np.allclose(*reactions, atol=1e-4)


@pytest.mark.slow
def test_old_weights_are_not_overwritten_unasked(imported):
    _, out, source = imported
    with pytest.raises(InputError, match="--overwrite"):
        convert.import_weights(source, out, tables=reduced_tables())


def altered(tmp_path, change, variant="render"):
    return write_folder(tmp_path / "checkpoints", variant, change)


def at(network, change):
    """Apply `change` to the container of one network's file."""
    return lambda file, container: change(container) if file.network == network else container


def with_state(container, **changes):
    kept = {key: value for key, value in container["state_dict"].items() if changes.get(key, value) is not None}
    return container | {"state_dict": kept | {key: value for key, value in changes.items() if value is not None}}


NAN = torch.full((58,), torch.nan)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (at("prior", lambda c: None), r"5 of 6 files of the render variant; missing: train_main/Diff.*drive\.google"),
        (at("denoiser", lambda c: with_state(c, **{"to_3dmm_feat.bias": None})), r"missing to_3dmm_feat\.bias"),
        (at("denoiser", lambda c: with_state(c, stray=torch.zeros(1))), "unexpected stray"),
        (at("denoiser", lambda c: with_state(c, **{"to_3dmm_feat.bias": torch.zeros(57)})), r"shape \(57,\), expected"),
        (at("denoiser", lambda c: with_state(c, **{"to_3dmm_feat.bias": torch.zeros(58).half()})), "holds float16"),
        (at("denoiser", lambda c: with_state(c, **{"to_3dmm_feat.bias": NAN})), "not finite, in denoiser.output.bias"),
        (at("denoiser", lambda c: with_state(c, **{"mem_pos.pe": torch.zeros(60, 1, 32)})), "not the fixed sine table"),
        (at("style_encoder", lambda c: {"weights": 1}), "no 'state_dict'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path, change, words, monkeypatch):
    monkeypatch.setattr(convert, "named_styles", lambda *_: {})
    with pytest.raises(InputError, match=words):
        convert.import_weights(altered(tmp_path, change), tmp_path / "out", tables=reduced_tables())
    assert not list((tmp_path / "out").glob("*")), "something half-written stayed behind"


def test_a_file_of_the_other_variant_is_recognised(tmp_path):
    from tests.support.published_folder import published_weights

    wrong = next(file for file in reduced_tables()["emotion"] if file.network == "denoiser")
    folder = altered(tmp_path, at("denoiser", lambda c: c | {"state_dict": published_weights(wrong, 0)}))
    with pytest.raises(InputError, match="this is the file of the emotion variant"):
        convert.import_weights(folder, tmp_path / "out", tables=reduced_tables())


class Payload:
    """A pickle that would create a file if anything ran it."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.parametrize("archive", [True, False])
def test_no_code_of_a_file_is_run(tmp_path, archive):
    folder = altered(tmp_path, None)
    marker = tmp_path / "ran"
    target = next(folder.rglob("person_specific/**/*.pth"))
    if archive:
        torch.save({"state_dict": {}, "optimizer": Payload(marker)}, target)
    else:
        buffer = io.BytesIO()
        pickle.dump(Payload(marker), buffer)
        target.write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="without running code"):
        convert.import_weights(folder, tmp_path / "out", tables=reduced_tables())
    assert not marker.exists()


def test_what_is_no_published_folder(tmp_path):
    for name, content in (("notes.txt", b"hello"), ("torn.zip", b"PK\x03\x04torn")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="neither a folder nor a readable zip"):
            convert.import_weights(tmp_path / name, tmp_path / "out")
    with pytest.raises(InputError, match="no file or folder"):
        convert.import_weights(tmp_path / "missing", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"No published checkpoint.*1Drdq3WnQjuOM9GxptC3UsTn_JSsn8_M-"):
        convert.import_weights(tmp_path / "empty", tmp_path / "out")


def test_the_authors_mean_face(tmp_path):
    path = tmp_path / "FaceVerse" / "mean_face.npy"
    path.parent.mkdir()
    mean = np.linspace(-1, 1, 58).astype(np.float32)
    np.save(path, mean.reshape(1, 58))
    mean_read, words = convert.mean_face(tmp_path)
    assert np.array_equal(mean_read, mean) and "authors' own" in words
    np.save(path, mean[:50])
    with pytest.raises(InputError, match="expected 58"):
        convert.mean_face(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        convert.mean_face(tmp_path / "elsewhere")

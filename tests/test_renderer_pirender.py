"""PIRender: the published numbers anywhere, checkpoints read safely, and frames behind the common interface."""

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from renderer.conformance.__main__ import main as conformance_command
from renderer.errors import RenderError
from renderer.face_model import neutral_coefficients
from renderer.portrait import PortraitAnimator, WarpAnimator, portrait_animator
from renderer.portrait.pirender.__main__ import main as pirender_command
from renderer.portrait.pirender.animator import PIRenderAnimator
from renderer.portrait.pirender.architecture import Architecture, expected_shapes, is_unused
from renderer.portrait.pirender.network import Network
from renderer.portrait.pirender.reference import ReferencePIRender
from renderer.portrait.pirender.synthetic_weights import synthetic_weights
from renderer.portrait.pirender.weights import import_checkpoint, load_weights
from renderer.portrait.pirender.windows import windows
from renderer.resources import pirender_weights
from tests.support.drawn_portrait import drawn_portrait

ROOT = Path(__file__).resolve().parent.parent
SMALL = Architecture(
    descriptor=16, warping_channels=(4, 8, 8, 8, 8, 8), decoder_channels=(8, 8, 8), editing_channels=(4, 8, 8, 8)
)
GOLDEN = ROOT.parent / "shared" / "golden" / "renderers"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two torch threads beside any other work spend their time waiting for each other (see perfrdiff.pipeline.run)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small():
    return synthetic_weights(SMALL)


@pytest.fixture(scope="module")
def person(face):
    return drawn_portrait(face, 320)


@pytest.fixture
def checkpoint(small, tmp_path):
    path = tmp_path / "cur_model_fold.pth"
    torch.save({"state_dict": small}, path)
    return path


def moving(frames, seed=3):
    rows = neutral_coefficients(frames)
    rows[:, :52] = np.random.default_rng(seed).uniform(0, 1, (frames, 52))
    return rows


@pytest.mark.slow
@torch.inference_mode()
def test_the_full_size_network_gives_the_published_picture():
    """Weights by the hash rule; stored are the published code's numbers, of the pictures every 8th pixel."""
    stored = {name: torch.from_numpy(value) for name, value in np.load(ROOT / "tests/data/pirender_full.npz").items()}
    weights = synthetic_weights(Architecture())
    assert sum(value.numel() for value in weights.values()) == 22_523_416
    image, driving = stored["in/input_image"], stored["in/driving_source"]

    outputs = ReferencePIRender(weights, Architecture()).outputs(image, driving)
    network = Network(weights, Architecture())
    network.use_winograd()
    modulations = network.modulations(network.descriptors(driving[0].T))
    source = network.source(image)
    fast = {
        "flow_field": network.flow(source, network.styles(modulations)),
        "fake_image": network(source, modulations),
    }
    for name in ("descriptor", "flow_field", "warp_image", "fake_image"):
        expected = stored[f"out/{name}"]
        for values in (outputs, fast):
            if name in values:
                actual = values[name][:, :, ::8, ::8] if name.endswith("image") else values[name]
                torch.testing.assert_close(actual, expected, atol=2e-4, rtol=0)


@pytest.mark.slow
@torch.inference_mode()
@pytest.mark.parametrize("shape", [(64, 96), (96, 64)])
def test_the_fast_network_is_the_plain_one_on_pictures_that_are_not_square(small, shape):
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, *shape, generator=generator) * 2 - 1
    rows = torch.from_numpy(moving(4))
    windowed = torch.from_numpy(windows(moving(4)))
    expected = ReferencePIRender(small, SMALL).outputs(image.expand(4, -1, -1, -1), windowed)["fake_image"]
    network = Network(small, SMALL)
    padded = torch.cat([rows[:1].expand(13, -1), rows, rows[-1:].expand(13, -1)])
    modulations = network.modulations(network.descriptors(padded))
    source = network.source(image)
    one_by_one = torch.cat([network(source, each[None]) for each in modulations])
    for actual in (network(source, modulations), one_by_one):
        torch.testing.assert_close(actual, expected, atol=2e-4, rtol=0)
    network.channels_last()
    torch.testing.assert_close(network(source, modulations), expected, atol=2e-4, rtol=0)
    network.use_winograd()
    torch.testing.assert_close(network(source, modulations), expected, atol=2e-4, rtol=0)


@torch.inference_mode()
def test_the_original_is_the_react_variant_without_its_first_layer(small):
    image, driving = torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(1, 58, 27)
    mapped = torch.nn.functional.conv1d(driving, small["mapping_net.pre.weight"], small["mapping_net.pre.bias"])
    original = {name: value for name, value in small.items() if not name.startswith("mapping_net.pre.")}
    architecture = Architecture(**(vars(SMALL) | {"coefficients": 73}))
    assert set(expected_shapes(architecture)) == set(original)
    network, other = Network(small, SMALL), Network(original, architecture)
    pictures = [
        net(net.source(image), net.modulations(net.descriptors(rows[0].T)))
        for net, rows in ((network, driving), (other, mapped))
    ]
    torch.testing.assert_close(*pictures, atol=1e-6, rtol=0)
    assert len(expected_shapes(Architecture(coefficients=73))) == 304


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda table: {"state_dict": table},
        lambda table: {"net_G_ema": table, "net_G": {}, "current_epoch": 190},
        lambda table: {"net_G": {f"module.{name}": value for name, value in table.items()}},
        lambda table: table,
    ],
)
def test_published_checkpoints_are_read_and_imported(small, wrapped, tmp_path):
    torch.save(wrapped(small), tmp_path / "some.pt")
    weights, architecture = load_weights(tmp_path / "some.pt")
    assert architecture == SMALL
    assert set(weights) == {name for name in small if not is_unused(name)}
    import_checkpoint(tmp_path / "some.pt", tmp_path / "pirender.safetensors")
    again, architecture = load_weights(tmp_path / "pirender.safetensors")
    assert architecture == SMALL and all(torch.equal(again[name], weights[name]) for name in weights)


def test_a_checkpoint_that_does_not_fit_says_what_is_wrong_by_name(small, checkpoint, tmp_path):
    class Sneaky:
        def __reduce__(self):
            return (print, ("code of the file was run",))

    name = "editing_net.decoder.up1.model.0.weight"
    cases = {
        f"lacks {name}": {key: value for key, value in small.items() if key != name},
        "unexpected optimiser": small | {"optimiser.step": torch.zeros(1)},
        "other shapes: " + name: small | {name: torch.zeros(1, 2, 3, 3)},
        "NaN": small | {name: torch.full_like(small[name], float("nan"))},
        "lacks mapping_net.pre.weight": {"something": torch.zeros(2)},
        "table of tensors": {"epoch": 3},
        "can run code": {"state_dict": small, "extra": Sneaky()},
    }
    for words, content in cases.items():
        torch.save(content, tmp_path / "bad.pth")
        with pytest.raises(RenderError, match=words) as caught:
            load_weights(tmp_path / "bad.pth")
        assert "\n" not in str(caught.value)
    (tmp_path / "bad.pth").write_bytes(b"not a checkpoint")
    (tmp_path / "bad.safetensors").write_bytes(b"neither")
    for file in ("bad.pth", "bad.safetensors", "absent.pth"):
        with pytest.raises(RenderError):
            load_weights(tmp_path / file)


@pytest.mark.slow
def test_it_animates_as_the_built_in_animator_does(checkpoint, person):
    animator = PIRenderAnimator(checkpoint, 96, device="cpu")
    assert isinstance(animator, PortraitAnimator)
    rows = moving(5)
    with pytest.raises(RenderError, match="No portrait"):
        animator.animate(rows)
    animator.set_portrait(*person)
    frames = list(animator.animate(rows))
    assert len(frames) == 5
    assert all(frame.shape == (96, 96, 3) and frame.dtype == np.uint8 for frame in frames)
    assert any((one != other).any() for one, other in pairwise(frames))
    for bad in (rows[:, :52], np.full((2, 58), np.nan)):
        with pytest.raises(RenderError):
            animator.animate(bad)
    hours = np.broadcast_to(rows[0], (20_000, 58))
    assert len(list(islice(animator.animate(hours), 2))) == 2  # streamed: nobody waits for the last frame


@pytest.mark.slow
def test_sequences_drawn_together_are_those_drawn_alone(checkpoint, person):
    """What a GPU does with all samples at once; an iterator that is dropped costs nothing and disturbs nobody."""
    animator = PIRenderAnimator(checkpoint, 64, device="cpu")
    animator.set_portrait(*person)
    sequences = [moving(7, seed) for seed in (1, 2, 3)]
    alone = [list(animator.animate(sequence)) for sequence in sequences]
    animator._batch = 6
    iterators = animator.animate_many(sequences)
    first = [next(iterator) for iterator in iterators]
    iterators[1].close()
    together = [[first[k], *iterators[k]] for k in (0, 2)]
    for actual, expected in zip(together, (alone[0], alone[2]), strict=True):
        assert np.abs(np.stack(actual).astype(int) - np.stack(expected)).max() <= 1
    with pytest.raises(RenderError, match="same number"):
        animator.animate_many([sequences[0], sequences[1][:3]])


def test_settings_that_do_not_exist_are_refused(checkpoint, small, tmp_path):
    for settings, words in (({"size": 9}, "size"), ({"device": "abacus"}, "abacus"), ({"precision": "int3"}, "int3")):
        with pytest.raises(RenderError, match=words):
            PIRenderAnimator(checkpoint, **{"device": "cpu"} | settings)
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        with pytest.raises(RenderError, match="float32"):
            PIRenderAnimator(checkpoint, device="cpu", precision="bfloat16")
    wide = {name: value for name, value in small.items() if not name.startswith("mapping_net.pre.")}
    save_file(wide, tmp_path / "original.safetensors")
    original = PIRenderAnimator(tmp_path / "original.safetensors", device="cpu")
    assert original.coefficient_count == 73


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() != "AVX512", reason="bfloat16 needs AVX-512 on a CPU")
def test_bfloat16_is_near(checkpoint, person):
    near = []
    for precision in ("float32", "bfloat16"):
        animator = PIRenderAnimator(checkpoint, 64, device="cpu", precision=precision)
        animator.set_portrait(*person)
        near.append(next(animator.animate(moving(1))).astype(int))
    assert np.abs(near[0] - near[1]).mean() < 3


@pytest.mark.slow
@pytest.mark.parametrize("traced", [False, True])
def test_the_gpus_arrangement_draws_the_same_on_a_cpu(checkpoint, person, traced):
    """Autocast, channels last, batches over frames and samples, and torch.compile's tracing, without a GPU."""
    sequences = [moving(7, seed) for seed in (1, 2, 3)]
    plain = PIRenderAnimator(checkpoint, 64, device="cpu")
    arranged = PIRenderAnimator(checkpoint, 64, device="cpu")
    network = Network(*load_weights(checkpoint))  # without the CPU's own convolutions
    arranged._network = arranged._draw = network
    network.channels_last()
    network.editing_precision = torch.bfloat16
    arranged._batch = 8  # does not divide the 21 frames: the last run is filled up
    if traced:
        arranged._draw = torch.compile(network, dynamic=False, backend="eager")
    drawn = []
    for animator in (plain, arranged):
        animator.set_portrait(*person)
        iterators = animator.animate_many(sequences)
        drawn.append(np.stack([np.stack(frames) for frames in zip(*iterators, strict=True)]).astype(int))
    assert drawn[0].shape == drawn[1].shape == (7, 3, 64, 64, 3)
    assert np.abs(drawn[0] - drawn[1]).mean() < 3


def test_present_weights_are_chosen_and_absent_ones_asked_for(checkpoint, face, tmp_path_factory):
    empty, there = tmp_path_factory.mktemp("none"), checkpoint.parent
    assert isinstance(portrait_animator(face, folder=empty), WarpAnimator)
    with pytest.raises(RenderError, match=r"cur_model_fold\.pth"):
        portrait_animator(face, name="pirender", folder=empty)
    with pytest.raises(RenderError, match="oil"):
        portrait_animator(face, name="oil")
    assert pirender_weights(checkpoint.parent) == checkpoint
    assert isinstance(portrait_animator(face, device="cpu", folder=there), PIRenderAnimator)
    assert isinstance(portrait_animator(face, name="warp", folder=there), WarpAnimator)


def test_the_import_command_tells_what_it_made(checkpoint, tmp_path, capsys):
    out = ["--out", str(tmp_path / "p.safetensors")]
    assert pirender_command([str(checkpoint), *out]) == 0
    assert "58 coefficients" in capsys.readouterr().out
    assert pirender_command([str(tmp_path / "absent.pth"), *out]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("compiled", [False, True])
def test_the_gpu_draws_what_the_cpu_draws(checkpoint, person, compiled):
    sequences = [moving(9, seed) for seed in (1, 2)]
    pictures = []
    for device in ("cpu", "cuda"):
        fast = compiled and device == "cuda"
        animator = PIRenderAnimator(checkpoint, 64, device=device, compiled=fast)
        animator.set_portrait(*person)
        iterators = animator.animate_many(sequences)
        pictures.append(np.stack([np.stack(frames) for frames in zip(*iterators, strict=True)]).astype(int))
    assert np.abs(pictures[0] - pictures[1]).mean() < 3


@pytest.mark.slow
@pytest.mark.media
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="../shared/golden is not here")
def test_every_published_fixture_passes_and_a_changed_one_fails(tmp_path, capsys):
    assert conformance_command([str(GOLDEN)]) == 0
    assert "FAIL" not in capsys.readouterr().out
    changed = dict(np.load(GOLDEN / "semantic_windows.npz"))
    changed["windows_5"][2, 3, 4] += 1
    del changed["descriptor_40_small"]
    np.savez(tmp_path / "windows.npz", **changed)
    assert conformance_command([str(tmp_path)]) == 1
    assert capsys.readouterr().out.count("FAIL") == 1
    assert conformance_command([str(tmp_path / "absent")]) == 2

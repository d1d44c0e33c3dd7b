"""Noise, schedule and the window-by-window sampling."""

import numpy as np
import pytest
import torch

from perfrdiff import sampling
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig

SMALL = DenoiserConfig(width=32, layers=2, heads=4, feedforward=48, window=20, reaction_delay=4)
OPTIONS = sampling.SamplingOptions(steps=4, guidance=1.5, guidance_over=("audio", "coefficients"), slide=10, clamp=6.0)


@pytest.fixture(scope="module")
def denoiser():
    torch.manual_seed(0)
    return Denoiser(SMALL).eval()


def streams(frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "audio": torch.randn(frames, 78, generator=generator),
        "coefficients": torch.randn(frames, 58, generator=generator),
    }


def sample(denoiser, speaker, samples=2, seed=0, options=OPTIONS):
    with torch.inference_mode():
        return sampling.sample_sequence(denoiser, speaker, samples, seed, options)


def test_the_schedule_is_the_published_one():
    assert sampling.leading_timesteps(50)[:3] == [980, 960, 940]
    assert sampling.leading_timesteps(50)[-1] == 0
    abar = sampling.cumulative_alphas()
    assert abar.shape == (1000,) and abar[0] > 0.9999 and abar[-1] < 1e-6
    assert np.all(np.diff(abar) < 0)


def test_even_steps_run_from_noise_to_clean():
    steps = sampling.even_timesteps(10)
    assert len(steps) == 10 and steps == sorted(steps, reverse=True)
    assert steps[0] > 950 and steps[-1] < 60
    with pytest.raises(ValueError, match="expected 2"):
        sampling.even_timesteps(1)


def exact_denoiser(deviation):
    """The best guess for frames that are normal with mean 1 and this spread."""

    def predict(x, t):
        abar = float(sampling.cumulative_alphas()[t])
        signal, noise = abar**0.5, (1 - abar) ** 0.5
        return 1 + (deviation**2 * signal / (abar * deviation**2 + noise**2)) * (x - signal)

    return predict


def test_the_second_order_solver_comes_nearer_to_the_right_spread():
    """Ten calls: reactions of the right variety are what the solver is for."""
    noise = torch.randn(4000, 1, 1, generator=torch.Generator().manual_seed(0))
    predict = exact_denoiser(0.5)
    second_order = sampling.dpm_solver(predict, noise, 10, clamp=10.0)
    first_order = sampling.ddim(predict, noise, 10, clamp=10.0)
    assert second_order.mean() == pytest.approx(1.0, abs=0.03)
    assert second_order.std() == pytest.approx(0.5, rel=0.03)
    assert abs(second_order.std() - 0.5) < 0.5 * abs(first_order.std() - 0.5)


def test_the_second_order_solver_keeps_inpainted_frames():
    noise, inpainted_frames = torch.randn(2, 6, 3), torch.full((2, 2, 3), 7.0)
    window = sampling.dpm_solver(exact_denoiser(0.5), noise, 6, inpainted_frames=inpainted_frames, clamp=10.0)
    assert torch.equal(window[:, :2], inpainted_frames) and window[:, 2:].max() < 7.0


@pytest.mark.parametrize("frames", [7, 20, 21, 30, 53])
def test_any_length(denoiser, frames):
    out = sample(denoiser, streams(frames))
    assert out.shape == (2, frames, 58)
    assert torch.isfinite(out).all()


def test_a_reaction_comes_window_by_window(denoiser):
    """Whoever draws the first seconds need not wait for the last ones: what came is final."""
    speaker = streams(53)
    with torch.inference_mode():
        windows = list(sampling.sequence_windows(denoiser, speaker, 2, 0, OPTIONS))
    assert [window.shape[1] for window in windows] == [20, 10, 10, 10, 3]
    shares = []
    with torch.inference_mode():
        whole = sampling.sample_sequence(denoiser, speaker, 2, 0, OPTIONS, progress=shares.append)
    assert torch.equal(torch.cat(windows, dim=1), whole)
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert len(shares) == 5 * OPTIONS.steps + 1, "a report before every call: whoever waits may leave"


def test_a_sample_does_not_depend_on_how_many_are_asked_for(denoiser):
    speaker = streams(45)
    few, many = sample(denoiser, speaker, 3, seed=5), sample(denoiser, speaker, 6, seed=5)
    assert torch.allclose(few[1], many[1], atol=1e-4)
    assert not torch.allclose(many[1], many[2], atol=1e-2)


def test_every_sample_may_have_a_speaker_of_its_own(denoiser):
    speakers = streams(47), streams(47, seed=1)
    together = sample(denoiser, {name: torch.stack([one[name] for one in speakers]) for name in speakers[0]})
    for i, speaker in enumerate(speakers):
        assert torch.allclose(together[i], sample(denoiser, speaker)[i], atol=1e-5)


def test_the_future_of_the_speaker_is_not_seen(denoiser):
    """Frame i of a reaction may depend on the speaker up to frame i only."""
    speaker = streams(60)
    changed = {name: value.clone() for name, value in speaker.items()}
    for value in changed.values():
        value[37:] += 3.0
    a, b = sample(denoiser, speaker), sample(denoiser, changed)
    assert torch.allclose(a[:, :37], b[:, :37], atol=1e-4)
    assert not torch.allclose(a[:, 37:], b[:, 37:], atol=1e-2)


def test_guidance_of_one_is_the_conditional_prediction(denoiser):
    conditions = {"audio": torch.randn(2, 20, 78), "coefficients": torch.randn(2, 20, 58)}
    x = torch.randn(2, 20, 58)
    with torch.inference_mode():
        plain = sampling.guided_denoiser(denoiser, conditions, 1.0)(x, 500)
        near = sampling.guided_denoiser(denoiser, conditions, 1.0 + 1e-7)(x, 500)
        far = sampling.guided_denoiser(denoiser, conditions, 4.0)(x, 500)
    assert torch.allclose(plain, near, atol=1e-4)
    assert not torch.allclose(plain, far, atol=1e-3)


def test_inpainted_frames_are_kept(denoiser):
    conditions = {"audio": torch.randn(1, 20, 78), "coefficients": torch.randn(1, 20, 58)}
    inpainted_frames = torch.randn(1, 8, 58)
    with torch.inference_mode():
        predict = sampling.guided_denoiser(denoiser, conditions, 1.0)
        out = sampling.ddim(predict, torch.randn(1, 20, 58), 4, inpainted_frames=inpainted_frames, clamp=6.0)
    assert torch.equal(out[:, :8], inpainted_frames)


def test_steps_outside_the_schedule_are_refused():
    with pytest.raises(ValueError, match="denoising steps"):
        sampling.leading_timesteps(1)


def test_slow_noise_stands_beside_the_white():
    """A reaction begins as noise whose slow part makes up for a network that is unsure of slow movement."""
    shape = (4000, 5)
    white, both = sampling.start_noise(3, 4, shape), sampling.start_noise(3, 4, shape, slow_noise=0.5, slow_frames=8.0)
    slow = both - white
    assert slow.std().item() == pytest.approx(0.5, rel=0.1)
    assert slow[:, :200].std().item() == pytest.approx(0.5, rel=0.2), "from the first frame on"
    one_later = (slow[:, 1:] * slow[:, :-1]).mean() / slow.square().mean()
    assert one_later.item() == pytest.approx(np.exp(-1 / 8), abs=0.02)
    assert torch.equal(sampling.start_noise(3, 2, shape, 0.5, 8.0), both[:2]), "whatever the number of samples"
    assert torch.equal(sampling.start_noise(3, 4, shape, 0.0, 8.0), white)

"""Losses, training passes and steps of the weight editor against fixtures."""

import torch

from perfrdiff.models.autoencoder import Reconstruction
from perfrdiff.published import losses
from perfrdiff.published.conformance import fixtures
from perfrdiff.published.conformance.fixtures import Deviation, Fixture, compare
from perfrdiff.published.training import (
    EDITOR_LOSS_WEIGHTS,
    EDITOR_SGD,
    GENERIC_LOSS_WEIGHTS,
    Listeners,
    StepRandomness,
    editor_step,
    forward,
)

DRAWS_BEFORE_MASKS = 6


def check_losses(fixture: Fixture) -> list[Deviation]:
    prediction, target = fixture["basic/prediction"], fixture["basic/target"]
    deviations = [
        compare("MSE", losses.squared_error(prediction, target), fixture["basic/MSELoss_default"]),
        compare("MSE, mean", losses.squared_error(prediction, target, "mean"), fixture["basic/MSELoss_mean"]),
        compare("MSE, best sample", losses.squared_error(prediction, target, "min"), fixture["basic/MSELoss_min"]),
        compare("L1", losses.absolute_error(prediction, target), fixture["basic/L1Loss_default(min)"]),
        compare("L1, mean", losses.absolute_error(prediction, target, "mean"), fixture["basic/L1Loss_mean"]),
        compare("L1, best sample", losses.absolute_error(prediction, target, "min"), fixture["basic/L1Loss_min"]),
        compare("nearest target", losses.nearest_target_error(prediction, target), fixture["basic/KApproMSELoss"]),
        compare("temporal", losses.temporal_difference(prediction), fixture["basic/TemporalLoss"]),
        compare(
            "MSE after activations",
            losses.activated_error(fixture["act/prediction"], fixture["act/target"]),
            fixture["act/MSELossWithAct"],
        ),
    ]
    return deviations + _autoencoder_losses(fixture) + _diffusion_losses(fixture) + _contrastive(fixture)


def _autoencoder_losses(fixture: Fixture) -> list[Deviation]:
    attributes, coefficients = fixture["ae/prediction"], fixture["ae/coefficients"]
    truth = fixture["ae/target"], fixture["ae/target_coefficients"]
    code = fixture["ae/mu"], fixture["ae/logvar"]
    deviations = []
    for name, predictions, expected in (
        ("ae_v1", Reconstruction(coefficients, attributes, *code), truth[::-1]),
        ("ae_v2", Reconstruction(attributes, coefficients, *code), truth),
    ):
        loss = losses.autoencoder_loss(predictions, *expected)
        for part, value in (("loss", loss.total), ("mse", loss.frames), ("kld", loss.kld), ("coeff", loss.regressed)):
            deviations.append(compare(f"{name} {part}", value, fixture[f"{name}/{part}"]))
    unweighted = losses.autoencoder_loss(Reconstruction(attributes, coefficients, *code), *truth, kld_weight=1.0)
    deviations.append(compare("ae_v2 unweighted", unweighted.total, fixture["ae_v2/loss_default_weights"]))
    return deviations


def _diffusion_losses(fixture: Fixture) -> list[Deviation]:
    inputs = [
        fixture[f"diffusion/{name}"]
        for name in ("encoded_prediction", "encoded_target", "prediction_emotion", "target_emotion")
    ]
    deviations = []
    for name, weights in (("gafrg_1_1", GENERIC_LOSS_WEIGHTS), ("pwsg_0_1", EDITOR_LOSS_WEIGHTS)):
        deviations += _compare_parts(
            losses.diffusion_loss(*inputs, weights), fixture.with_prefix(f"diffusion/{name}"), name
        )
    return deviations


def _compare_parts(loss: losses.DiffusionLoss, expected: dict[str, torch.Tensor], name: str) -> list[Deviation]:
    computed = {"loss": loss.total, "encoded": loss.latent, "decoded": loss.window, "temporal_loss": loss.temporal}
    return [
        compare(f"{name} {part}", computed[part].detach(), value)
        for part, value in expected.items()
        if part in computed
    ]


def _contrastive(fixture: Fixture) -> list[Deviation]:
    style, person = fixture["supcon/feature"].clone(), fixture["supcon/label"]
    with torch.enable_grad():
        style.requires_grad_()
        loss = losses.contrastive(style, person)
        (gradient,) = torch.autograd.grad(loss, style)
    warm = losses.contrastive(style.detach(), person, 0.2, 0.07)
    return [
        compare("contrastive", loss.detach(), fixture["supcon/loss"]),
        compare("contrastive gradient", gradient, fixture["supcon/grad_feature"]),
        compare("contrastive at 0.2", warm, fixture["supcon/loss_T0.2_base0.07"]),
    ]


def check_training_forward(fixture: Fixture) -> list[Deviation]:
    predictions = forward(
        fixtures.published_model(fixture), fixture.speaker(), _listeners(fixture), _stored_randomness(fixture)[0]
    )
    kind = "emotion" if fixture.variant == "emotion" else "3dmm"
    return [
        compare("latent", predictions.latent, fixture["out/prior/encoded_prediction"]),
        compare("latent target", predictions.latent_target, fixture["out/prior/encoded_target"]),
        compare("window", predictions.window, fixture[f"out/decoder/prediction_{kind}"]),
        compare("window target", predictions.window_target, fixture[f"out/decoder/target_{kind}"]),
        *_compare_parts(predictions.loss(GENERIC_LOSS_WEIGHTS), fixture.with_prefix("out/loss"), "loss"),
    ]


def check_editor_steps(fixture: Fixture) -> list[Deviation]:
    """Losses and gradients of the stored steps, and the editor's weights after them."""
    kind = "emo" if fixture.variant == "emotion" else "ren"
    source = fixture.neighbours.weights_fixture(f"mainnet_{kind}", fixture)
    model = fixtures.published_model(fixture, source)
    model.denoiser.requires_grad_(False)
    editor = model.weight_editor.requires_grad_(True)
    optimizer = torch.optim.SGD(editor.parameters(), **EDITOR_SGD)
    deviations = []
    with torch.enable_grad():
        for number, randomness in enumerate(_stored_randomness(fixture)):
            loss = editor_step(
                model,
                optimizer,
                fixture["in/listener_personal_input"],
                fixture.speaker(),
                _listeners(fixture),
                randomness,
            )
            deviations += _compare_parts(loss, fixture.with_prefix(f"out/step{number}"), f"step {number}")
            computed = {name: value.grad for name, value in editor.named_parameters()}
            deviations += _compare_named(
                fixture.with_prefix(f"out/step{number}/grad"), computed, f"step {number} gradient of"
            )
    after = {name: value.detach() for name, value in editor.named_parameters()}
    return deviations + _compare_named(
        fixture.with_prefix(f"out/after{len(_stored_randomness(fixture))}"), after, "after the steps,"
    )


def _compare_named(stored: dict[str, torch.Tensor], computed: dict[str, torch.Tensor], prefix: str) -> list[Deviation]:
    renamed = fixtures.names.weight_editor_tensors(stored)
    return [compare(f"{prefix} {name}", computed[name], expected) for name, expected in renamed.items()]


def _listeners(fixture: Fixture) -> Listeners:
    return Listeners(fixture["in/listener_emotion_input"], fixture["in/listener_3dmm_input"])


def _stored_randomness(fixture: Fixture) -> list[StepRandomness]:
    """The stored draws, one step after another; a step starts with the prior's window start."""
    stored = fixture.with_prefix("rng")
    ordered = [(name, stored[name]) for name in sorted(stored)]
    starts = [i for i, (name, _) in enumerate(ordered) if name.endswith("randint")][::2]
    masks = (starts[1] if len(starts) > 1 else len(ordered)) - starts[0] - DRAWS_BEFORE_MASKS
    steps = []
    for first in starts:
        values = [value for _, value in ordered[first : first + DRAWS_BEFORE_MASKS + masks]]
        steps.append(
            StepRandomness(
                int(values[0]), values[1], values[2], int(values[3]), values[4], values[5], tuple(values[6:])
            )
        )
    return steps

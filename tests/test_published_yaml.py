"""The authors' YAML files, read as they are: the same networks, every ignored key by name, one sentence if wrong."""

import pytest
import torch

from perfrdiff.cli.main import main
from perfrdiff.errors import InputError
from perfrdiff.models import registry
from perfrdiff.published.config.reader import read_config
from perfrdiff.published.config.settings import AutoencoderLossSettings, ContrastiveLossSettings, OptimizerSettings
from perfrdiff.published.weights.variants import (
    RENAME_TENSORS,
    VARIANTS,
    editor_config,
    network_config,
    shape_tables,
)
from tests.support import published_yaml


@pytest.fixture
def read(tmp_path):
    def read(words, strict=True):
        (tmp_path / "run.yaml").write_text(words, encoding="utf-8")
        return read_config(tmp_path / "run.yaml", strict)

    return read


@pytest.mark.parametrize("variant", ["emotion", "render"])
@pytest.mark.parametrize("kind", ["generator", "weight editor"])
def test_the_networks_are_those_of_the_published_weights(read, variant, kind):
    """Every tensor of every network has the name and the shape that the published files have."""
    write = published_yaml.generator if kind == "generator" else published_yaml.weight_editor
    config = read(write(variant))
    assert (config.stage, config.variant, config.unknown) == (kind, variant, ())
    files = {file.network: file for file in shape_tables()[variant]}
    assert config.networks.keys() == files.keys() - ({"weight_editor"} if kind == "generator" else set())
    for name, sizes in config.networks.items():
        empty = {key: torch.empty(shape, device="meta") for key, shape in files[name].shapes.items()}
        published_shapes = {key: value.shape for key, value in RENAME_TENSORS[name](empty).items()}
        network = registry.build(name, sizes, without_memory=True)
        assert {key: value.shape for key, value in network.state_dict().items()} == published_shapes


@pytest.mark.parametrize("variant", ["emotion", "render"])
def test_what_the_weights_do_not_show_is_as_published(read, variant):
    """Heads, delay, conditions and the order of the edited weights, against what import-weights builds."""
    config = read(published_yaml.weight_editor(variant))
    files = {file.network: file for file in shape_tables()[variant]}
    built = network_config(VARIANTS[variant], "denoiser", files["denoiser"].shapes, 50)
    sizes = config.networks["denoiser"]
    for name in ("heads", "reaction_delay", "audio_scale", "conditions", "window", "dropout", "layers"):
        assert getattr(sizes, name) == getattr(built, name), name
    used = {name: sizes.drop_probability[name] for name in sizes.conditions}
    assert used == {name: built.drop_probability[name] for name in built.conditions}
    editor = editor_config(VARIANTS[variant], files["weight_editor"].shapes, built)
    assert list(config.networks["weight_editor"].targets.items()) == list(editor.targets.items())
    assert config.networks["weight_editor"].predict == "shift" and editor == config.networks["weight_editor"]
    assert config.networks["style_encoder"].max_tokens == 999 and config.networks["prior"].heads == 8
    assert (config.sampling.slide, config.sampling.audio_range) == ((50, False) if variant == "emotion" else (25, True))
    assert (config.sampling.steps, config.sampling.guidance, config.sampling.prior_guidance) == (50, 7.5, 1.0)


def test_training_settings(read):
    config = read(published_yaml.generator("emotion"))
    assert config.optimizer == OptimizerSettings("adamw", 1e-4, 1e-4, (0.9, 0.999), None, True)
    assert (config.trainer.epochs, config.trainer.seed, config.trainer.resume) == (500, 1234, None)
    assert (config.loss.losses_multipliers, config.samples) == ((1.0, 1.0), 10)
    assert (config.data["train"].batch_size, config.data["train"].targets, config.data["val"].shuffle) == (4, 10, False)
    assert config.checkpoints["autoencoder"] == "./checkpoints/embedder_latent/checkpoint.pth"
    editor = read(published_yaml.weight_editor("render"))
    assert editor.optimizer == OptimizerSettings("sgd", 1e-3, 1e-4, None, 0.9)
    assert (editor.loss.losses_multipliers, editor.data["train"].targets) == ((0.0, 1.0), 1)


def test_the_other_two_stages(read):
    config = read(published_yaml.autoencoder())
    assert (config.stage, config.variant, list(config.networks)) == ("autoencoder", None, ["autoencoder"])
    assert config.loss == AutoencoderLossSettings(frames=1.0, kld=1e-5, regressed=1.0) and config.trainer.clip_gradients
    assert config.optimizer == OptimizerSettings("adamw", 1e-3, 5e-4, (0.9, 0.999), None, False)
    config = read(published_yaml.style_encoder())
    assert config.stage == "style encoder" and config.networks["style_encoder"].max_tokens == 4999
    assert (
        config.loss == ContrastiveLossSettings(temperature=0.07, base_temperature=0.07)
        and config.data["train"].batch_size == 3
    )


def test_what_the_published_code_ignores_is_named(read):
    ignored = {e.key: e.reason for e in read(published_yaml.weight_editor("render")).ignored if e.by_published_code}
    assert ignored.keys() == {
        "diffusion_prior.type", "diffusion_prior.args.heads", "diffusion_prior.args.use_learned_query",
        "diffusion_prior.args.emb_preprocessing", "diffusion_decoder.args.emb_preprocessing",
        "latent_embedder.args.num_layers", "latent_3dmm_embedder.args.num_layers",
        "diffusion_decoder.args.past_l_emotion_drop_prob", "main_model.optimizer_mainnet",
    }  # fmt: skip
    assert all(ignored.values())
    emotion = {entry.key for entry in read(published_yaml.generator("emotion")).ignored}
    assert "diffusion_decoder.args.past_l_emotion_drop_prob" not in emotion, "that variant reads it"


def test_an_ignored_key_may_hold_anything(read):
    config = read(published_yaml.generator("render").replace("        heads: 8", "        heads: many"))
    assert config.networks["prior"].heads == 8


def test_what_is_left_out_is_named_and_as_published(read):
    config = read(published_yaml.generator("render").replace("        num_heads: 8\n", ""))
    assert "diffusion_decoder.args.num_heads" in config.defaulted and config.networks["denoiser"].heads == 8
    assert "diffusion_decoder.args.past_l_3dmm_drop_prob" in config.defaulted
    assert config.networks["denoiser"].drop_probability["past_listener"] == 0.2


def test_an_unknown_key_is_named_with_the_one_that_was_meant(read):
    words = published_yaml.generator("render").replace("        num_layers: 7", "        num_layer: 5")
    config = read(words, strict=False)
    assert config.unknown == ("diffusion_decoder.args.num_layer (is num_layers meant?)",)
    assert config.networks["denoiser"].layers == 7
    with pytest.raises(InputError, match=r"^run\.yaml: unknown: diffusion_decoder\.args\.num_layer \(is num_layers"):
        read(words)
    assert read("extra: 1\n" + published_yaml.generator("render"), strict=False).unknown == ("extra",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("num_heads: 8", "num_heads: four", r"decoder\.args\.num_heads is 'four'; expected a whole number of 1"),
        ("num_heads: 8", "num_heads: 7", "a width of 512 cannot be split among 7 heads"),
        ("num_heads: 8", "num_heads: 0", "num_heads is 0; expected a whole number of 1 or more"),
        ("nfeats: 58", "nfeats: 60", "nfeats is 60; expected 25 or 58"),
        ("arch: trans_dec", "arch: trans_enc", "arch is 'trans_enc'; expected trans_dec"),
        ("s_audio_enc_drop_prob: 0.2", "s_audio_enc_drop_prob: 1.5", "is 1.5; expected a number from 0 to 1"),
        ("s_audio_enc_drop_prob: 0.2", "s_audio_enc_drop_prob: .nan", "is nan; expected a number from 0 to 1"),
        ("use_attn_mask: True", "use_attn_mask: 1", "use_attn_mask is 1; expected True"),
        ("MSELoss, MSELoss", "L1Loss, MSELoss", r"is \['L1Loss', 'MSELoss'\]; expected \[MSELoss, MSELoss\]"),
        ("hidden_dim: 512", "hidden_dim: 256", "latent_dim is 512, but latent_embedder.args.hidden_dim 256"),
        ("layers.6.linear2", "layers.7.linear2", r"names 'diffusion_decoder\.model\.decoder\.layers\.7\.linear2'; exp"),
        ("model.to_3dmm_feat", "model.to_emotion_feat", "names 'diffusion_decoder.model.to_emotion_feat'; expected"),
        ("model.to_3dmm_feat", "__import__('os').system", "modified_layers names"),
        ("MainNetUnified\n", "os.system\n", "main_model.type is 'os.system'; expected MainNetUnified"),
        ("    type:\n            sgd", "    type:\n            lion", "hypernet.type is 'lion'; expected adamW"),
        ("trainer:\n", "coach:\n", "trainer is missing"),
        ("epochs: 100", "epochs:", "trainer.epochs is empty; expected a whole number"),
        ("epochs: 100", "epochs: 100\n    epochs: 3", "the key 'epochs' is there twice"),
        ("epochs: 100", "epochs: !!python/object/apply:os.system [ls]", "no readable YAML"),
        ("weight_decay: 1e-4", "weight_decay: ${optimizer.lr}", "expected a number from 0"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_sentence(read, old, new, words):
    changed = published_yaml.weight_editor("render").replace(old, new, 1)
    assert changed != published_yaml.weight_editor("render")
    with pytest.raises(InputError, match=words) as caught:
        read(changed)
    assert str(caught.value).startswith("run.yaml") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "no published configuration"), (b"- a\n- b\n", "no published configuration"), (b"a: [1", "no readable YAML"),
     (b"\xff\xfe\x00", "no readable YAML"), (b"x: 1\n" * 300_000, "it has 1.5 MB"),
     (b"model: 5\nloss: 5\noptimizer: 5\ntrainer: 5\ndataset: 5\n", "model is 5; expected keys with values"),
     (b"diffusion_decoder:\n", "person_specific is missing")],
)  # fmt: skip
def test_a_file_that_is_none(tmp_path, capsys, content, words):
    (tmp_path / "run.yaml").write_bytes(content)
    assert main(["config", str(tmp_path / "run.yaml")]) == 2
    printed = capsys.readouterr().err
    assert words in printed and printed.count("\n") == 1
    assert main(["config", str(tmp_path / "nowhere.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_command_says_what_a_file_means(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(published_yaml.generator("emotion") + "extra: 1\n")
    assert main(["config", str(tmp_path / "run.yaml")]) == 0
    printed = capsys.readouterr().out
    for words in (
        "run.yaml: generator, emotion variant", "networks denoiser: variant emotion", "steps 50, guidance 7.5",
        "Ignored by the published code:", "diffusion_prior.args.heads: never passed on", 
        "Unknown, without effect:\n  extra",
    ):  # fmt: skip
        assert words in printed
    assert main(["config", "--strict", str(tmp_path / "run.yaml")]) == 2

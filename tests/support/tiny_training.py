"""The authors' configurations with networks so small that a stage trains in a second."""

from tests.support import published_yaml

WINDOW = 10
SMALLER = {
    "512": "16", "1024": "24", "window_size: 50": f"window_size: {WINDOW}", "num_layers: 7": "num_layers: 2",
    "num_layers: 4": "num_layers: 1", "depth: 4": "depth: 1", "num_heads: 8": "num_heads: 2",
    "num_heads: 4": "num_heads: 2", "dim_head: 64": "dim_head: 8", "[128, 128]": "[8, 8]", "layers.6": "layers.1",
    "layers.4": "layers.0", "drop_prob: 0.1": "drop_prob: 0.0", "dropout: 0.1": "dropout: 0.0",
    "window_sliding: 25": "window_sliding: 5", "reaction_delay: 8": "reaction_delay: 3",
}  # fmt: skip


def write(folder, name, words):
    """`words` of tests/support/published_yaml.py, made small, as folder/name.yaml."""
    for published, small in SMALLER.items():
        words = words.replace(published, small)
    path = folder / f"{name}.yaml"
    path.write_text(words, encoding="utf-8")
    return path


def all_of(folder, variant="render"):
    """Stage -> its configuration."""
    coefficients = published_yaml.autoencoder().replace(
        published_yaml.AUTOENCODER, published_yaml.COEFFICIENT_AUTOENCODER
    )
    written = {
        "autoencoder": published_yaml.autoencoder(),
        "coefficient-autoencoder": coefficients.replace("MSELoss_AE_v2", "MSELoss_AE_v1"),
        "style-encoder": published_yaml.style_encoder(),
        "generator": published_yaml.generator(variant),
        "weight-editor": published_yaml.weight_editor(variant),
    }
    return {stage: write(folder, stage, words) for stage, words in written.items()}

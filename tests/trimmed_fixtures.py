"""The published code's numbers in tests/data/published, with the gaps filled that tools/trim_fixtures.py left."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

DATA = Path(__file__).parent / "data" / "published"
TABLE_ROWS = 500


def restore(folder: Path) -> Path:
    """Write every trimmed fixture to `folder` in the layout of the whole ones."""
    for path in sorted(DATA.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
            about = file.metadata()
        for key, value in tensors.items():
            if key.endswith("_pos.pe") and len(value) < TABLE_ROWS:  # rows that no window reaches
                tensors[key] = torch.cat([value, value.new_zeros(TABLE_ROWS - len(value), *value.shape[1:])])
        if "sd_hypernet/shared_layers.0.weight" in tensors and "sd_hypernet/branches.0.weight" not in tensors:
            tensors |= _branches(tensors)
        save_file(tensors, folder / path.name, metadata=about)
    return folder


def _branches(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An editor that predicts the stored shifts: its last layers were left out for their size (670 kB)."""
    deltas = {key: value for key, value in tensors.items() if key.startswith("mid/delta/")}
    order = sorted(deltas, key=lambda key: (".layers." in key, key))  # the output layer first, as published
    width = tensors["sd_hypernet/shared_layers.1.weight"].shape[0]
    made = {}
    for number, key in enumerate(order):
        flat = deltas[key].flatten()
        made[f"sd_hypernet/branches.{number}.bias"] = flat.clone()
        made[f"sd_hypernet/branches.{number}.weight"] = flat.new_zeros(len(flat), width)
    return made

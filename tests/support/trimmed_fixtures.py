"""The published code's numbers in tests/data/published, with the gaps filled that tools/trim_fixtures.py left."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

DATA = Path(__file__).parents[1] / "data" / "published"
TABLE_ROWS = 500


def restore(folder: Path) -> Path:
    """Write every trimmed fixture to `folder` in the layout of the untrimmed ones."""
    for path in sorted(DATA.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
            metadata = file.metadata()
        for key, value in tensors.items():
            if key.endswith("_pos.pe") and len(value) < TABLE_ROWS:  # rows that no window reaches
                tensors[key] = torch.cat([value, value.new_zeros(TABLE_ROWS - len(value), *value.shape[1:])])
        save_file(tensors, folder / path.name, metadata=metadata)
    return folder

"""python -m renderer.portrait.pirender CHECKPOINT: make published PIRender weights usable."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from renderer.errors import RenderError
from renderer.portrait.pirender.weights import import_checkpoint
from renderer.resources import PIRENDER_FILES, checkpoint_folder


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m renderer.portrait.pirender",
        description="Check a published PIRender checkpoint tensor by tensor and rewrite it as .safetensors. No code of "
        "the file is run. REACT's cur_model_fold.pth is then used for photos without being asked for.",
    )
    parser.add_argument("checkpoint", type=Path, help="cur_model_fold.pth, or epoch_…_checkpoint.pt of the original")
    default = checkpoint_folder() / PIRENDER_FILES[0]
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"default: {default.name} in {default.parent}")
    options = parser.parse_args(arguments)
    out = options.out or default
    try:
        architecture = import_checkpoint(options.checkpoint, out)
    except RenderError as error:
        print(f"pirender: {error}", file=sys.stderr)
        return 2
    print(f"{out}: PIRender that reads {architecture.coefficients} coefficients ({out.stat().st_size / 1e6:.0f} MB).")
    if not architecture.is_react:
        print("It reads Deep3DFaceRecon's coefficients, which this program does not make: use it from Python only.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

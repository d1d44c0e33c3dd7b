"""What is installed is what was tested, its licences are known, and the container runs as nobody."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools import lock, third_party

ROOT = Path(__file__).resolve().parents[1]
LOCKS = tuple(third_party.LOCKS)


def locked(name: str) -> lock.Lock:
    return lock.parse((ROOT / name).read_text(encoding="utf-8"))


def pins(name: str) -> dict[str, str]:
    """Package -> version, as a requirements file pins them; names as the index spells them."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([\w.-]+)==(\S+)", line) for line in lines)
    return {re.sub(r"[-_.]+", "-", match[1]).lower(): match[2] for match in found if match}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name):
    for package, (requirement, hashes) in locked(name).items():
        assert re.match(rf"{re.escape(package)}==\S+", requirement)
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), package


@pytest.mark.parametrize(
    ("requirements", "locks"),
    [
        ("requirements.txt", LOCKS[:1]), ("requirements-gl.txt", LOCKS[:1]),
        ("requirements-web.txt", LOCKS[2:3]), ("requirements-train.txt", LOCKS[:4]), ("requirements-dev.txt", LOCKS),
    ],
)  # fmt: skip
def test_the_locks_have_what_the_requirements_pin(requirements, locks):
    """After a change of a requirements file `make lock` has to be called."""
    versions = {
        package: entry[0].split(" ;")[0].split("==")[1] for name in locks for package, entry in locked(name).items()
    }
    wanted = pins(requirements)
    wanted.pop("opencv-contrib-python", None)  # mediapipe's, which make leaves out: requirements.txt says why
    assert {package: versions.get(package) for package in wanted} == wanted


def test_what_builds_the_package_is_locked_too():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert set(wanted) <= {requirement for requirement, _ in locked("requirements.lock").values()}


def test_no_lock_has_what_another_has():
    names = [package for name in LOCKS for package in locked(name)]
    assert len(names) == len(set(names)) > 100


def test_the_lock_is_complete():
    """pip is told to take nothing else, so what a locked package needs on this machine has to be locked."""
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    packages = locked("requirements.lock")
    left_out = {"opencv-contrib-python", "sounddevice"}  # mediapipe's: requirements.txt says why
    for package in packages:
        try:
            needed = [Requirement(text) for text in requires(package) or ()]
        except PackageNotFoundError:
            continue  # not installed here
        for requirement in needed:
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            if (requirement.marker is None or requirement.marker.evaluate({"extra": ""})) and name not in left_out:
                assert name in packages or lock.OF_CUDA.match(name), f"{package} needs {name}"


def test_the_cpu_build_of_torch_is_one_of_the_locked_ones():
    """Make takes it first where there is no NVIDIA card; with these hashes pip can take nothing else."""
    (package,) = locked("requirements-cpu.lock").items()
    requirement, hashes = locked("requirements.lock")["torch"]
    assert package[0] == "torch" and package[1][0] == requirement
    assert package[1][1] and set(package[1][1]) < set(hashes)


def test_make_installs_by_hash():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "LOCKED := --require-hashes --no-deps" in makefile
    for name in LOCKS:
        assert f"$(LOCKED) -r {name}" in makefile
    assert "$(LOCKED) $(CPU_BUILD)" in makefile and "-r requirements-cpu.lock" in makefile


def test_the_list_of_third_parties_is_up_to_date():
    """Names and versions by the locks, licences by what the installed packages and the assets say."""
    now, written = third_party.document(), third_party.TARGET.read_text(encoding="utf-8")
    assert written == now, "python -m tools.third_party writes it anew"
    for name in LOCKS:
        assert set(locked(name)) <= set(third_party.written())


@pytest.mark.parametrize("package", ["torch", "gradio", "mediapipe", "numpy"])
def test_licences_are_named(package):
    assert re.search(r"Apache|BSD|MIT", third_party.written()[package])


# --- the container ---------------------------------------------------------------------------------------------------


def dockerfile() -> list[str]:
    """Its instructions, one a line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]


def test_the_container_runs_as_nobody_and_says_whether_it_lives():
    lines = dockerfile()
    last = lines[max(n for n, line in enumerate(lines) if line.startswith("FROM")) :]
    users = [line.split()[1] for line in last if line.startswith("USER")]
    assert users and users[-1].split(":")[0] not in ("0", "root")
    assert not any(line.startswith(("RUN", "COPY", "ADD")) for line in last[last.index(f"USER {users[-1]}") :])
    assert any(line.startswith("HEALTHCHECK") and "/healthz" in line for line in last) and last[-1].startswith("CMD [")
    assert any("PERFRDIFF_PUBLIC=1" in line for line in last), "or it would refuse to start at 0.0.0.0"
    assert not any(line.startswith("ADD") for line in lines)
    assert all("--require-hashes" in line or "--no-build-isolation" in line for line in lines if "pip install" in line)
    assert "npm" not in "".join(lines), "perfrdiff web-libraries calls it, by package-lock.json"
    assert all(
        re.match(r"FROM \S+:[\w.-]+", line) and ":latest" not in line for line in lines if line.startswith("FROM")
    )
    assert any("--chown=root:root" in line for line in last), "what runs cannot write what it is"


def test_no_secret_and_no_media_gets_into_the_image():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert not re.search(r"(?i)(password|secret|token|api_?key)\s*=", text)
    rules = [
        line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#")
    ]
    assert rules[0] == "*", "only what is named goes in"
    named = [rule[1:].removesuffix("/**") for rule in rules if rule.startswith("!")]
    assert all((ROOT / name).exists() for name in named)
    assert not {".git", "tests", "out", "runs", "checkpoints"} & set(named)


def test_the_container_has_what_the_package_reads():
    """pyproject.toml reads the requirements files when the package is built."""
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    for name in re.findall(r"requirements[\w-]*\.txt", (ROOT / "pyproject.toml").read_text(encoding="utf-8")):
        assert f"!{name}" in rules


def test_the_lock_tool_needs_no_network_to_be_imported():
    done = subprocess.run([sys.executable, "-c", "import tools.lock, tools.third_party"], cwd=ROOT, check=False)
    assert done.returncode == 0

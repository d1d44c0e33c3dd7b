"""A person's head in a file: it comes back as it was, says what it is, and no foreign file passes for one."""

import stat
import zipfile
from dataclasses import fields, replace
from io import BytesIO

import numpy as np
import pytest

from renderer.errors import RenderError
from renderer.face_model import load_face_model
from renderer.identity.files import NOTICE, load_identity
from tests.support.made_up_identity import made_up_identity


@pytest.fixture(scope="module")
def identity():
    return made_up_identity(load_face_model(), 32, hair=True)


@pytest.fixture(scope="module")
def content(identity, tmp_path_factory) -> dict[str, bytes]:
    """The members of a good file."""
    path = tmp_path_factory.mktemp("identity") / "listener.identity.npz"
    identity.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return path


def array_bytes(array, **options):
    buffer = BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("hair", [True, False])
def test_a_saved_identity_comes_back_as_it_was(identity, tmp_path, hair):
    saved = identity if hair else replace(identity, hair=None, scores={}, notes=())
    saved.save(tmp_path / "one.npz")
    found = load_identity(tmp_path / "one.npz")
    for field in fields(saved):
        if field.name != "hair":
            np.testing.assert_equal(getattr(found, field.name), getattr(saved, field.name))
    assert (found.hair is None) != hair
    for field in fields(saved.hair) if hair else ():
        np.testing.assert_array_equal(getattr(found.hair, field.name), getattr(saved.hair, field.name))


def test_the_file_says_that_it_is_a_face_and_needs_no_pickle(identity, tmp_path):
    path = tmp_path / "listener.identity.npz"
    identity.save(path)
    with np.load(path, allow_pickle=False) as archive:
        assert str(archive["notice"]) == NOTICE and "consent" in NOTICE
        assert all(archive[name].dtype.kind != "O" for name in archive.files)
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0  # nobody else may read it


def test_nothing_half_written_stays(identity, tmp_path, monkeypatch):
    path = tmp_path / "listener.identity.npz"
    identity.save(path)
    before = path.read_bytes()

    def disk_full(file, **_):
        file.write(b"PK half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", disk_full)
    with pytest.raises(RenderError, match="No space left"):
        identity.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(RenderError, match="cannot be written"):
        identity.save(tmp_path / "no such folder" / "one.npz")


def test_an_identity_that_could_not_be_read_is_not_written(identity, tmp_path):
    shape = identity.shape.copy()
    shape[3, 1] = np.nan
    for wrong in (replace(identity, shape=shape), replace(identity, scores={"light": 3.0})):
        with pytest.raises(RenderError, match="cannot be saved"):
            wrong.save(tmp_path / "one.npz")
    assert not list(tmp_path.iterdir())


def test_foreign_files_are_refused(content, tmp_path):
    path = tmp_path / "foreign.npz"
    with pytest.raises(RenderError, match="There is no identity"):
        load_identity(path)
    with pytest.raises(RenderError, match="There is no identity"):
        load_identity(tmp_path)
    for foreign in (b"", b"\x89PNG\r\n", b"PK\x03\x04" + bytes(60)):
        path.write_bytes(foreign)
        with pytest.raises(RenderError, match="no identity"):
            load_identity(path)
    np.savez(path, shape=np.zeros((4, 3)))
    with pytest.raises(RenderError, match="does not hold"):
        load_identity(path)
    with pytest.raises(RenderError, match="another format"):
        load_identity(write(path, content | {"format.npy": array_bytes(np.array("perfrdiff identity 9"))}))
    with pytest.raises(RenderError, match="does not hold"):
        load_identity(write(path, {name: value for name, value in content.items() if name != "hair_points.npy"}))
    with pytest.raises(RenderError, match="does not hold"):
        load_identity(write(path, content | {"../evil.npy": b""}))


def test_pickled_oversized_and_lying_members_are_refused(content, tmp_path):
    path = tmp_path / "hostile.npz"
    huge = array_bytes(np.zeros((2, 2, 3), np.uint8)).replace(b"(2, 2, 3)", b"(99999, 99999, 3)")
    short = array_bytes(np.zeros(3, np.float32))[:-4]
    for name, member in (
        ("notes.npy", array_bytes(np.array([{"a": 1}], object), allow_pickle=True)),
        ("texture.npy", huge),
        ("iris.npy", short),
        ("iris.npy", array_bytes(np.zeros(3, np.float64))),
        ("iris.npy", b"\x93NUMPY\x07\x00 nonsense"),
        ("coefficients.npy", array_bytes(np.zeros(1 << 16, np.float32))),
        ("texture_uv.npy", array_bytes(np.zeros((7, 3, 3), np.float32))),
    ):
        with pytest.raises(RenderError, match="identity") as refused:
            load_identity(write(path, content | {name: member}))
        assert "\n" not in str(refused.value)


def test_values_out_of_range_are_refused(identity, content, tmp_path):
    path = tmp_path / "values.npz"
    infinite = identity.expression_basis.copy()
    infinite[5, 1, 3] = np.inf
    beyond = identity.hair.triangles.copy()
    beyond[0, 0] = len(identity.hair.points)
    for name, values, reason in (
        ("expression_basis", infinite, "between"),
        ("hair_triangles", beyond, "not there"),
        ("hair_head_weight", identity.hair.head_weight[:-1], "another length"),
        ("shape", identity.shape[:-1], "another length"),
    ):
        with pytest.raises(RenderError, match=reason):
            load_identity(write(path, content | {f"{name}.npy": array_bytes(values)}))


def test_a_damaged_file_is_refused_wherever_it_is_damaged(identity, tmp_path):
    path = tmp_path / "listener.identity.npz"
    identity.save(path)
    good = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(good[: int(len(good) * share)])
        with pytest.raises(RenderError, match="identity"):
            load_identity(path)
        turned = bytearray(good)
        turned[int(len(good) * share)] ^= 0xFF
        path.write_bytes(bytes(turned))
        with pytest.raises(RenderError, match="identity"):
            load_identity(path)

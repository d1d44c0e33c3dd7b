"""A person's head in a file: it comes back as it was, says what it is, and no foreign file passes for one."""

import json
import stat
import struct
import zipfile
from dataclasses import fields, replace
from io import BytesIO

import cv2
import numpy as np
import pytest
import trimesh

from renderer.errors import RenderError
from renderer.export.glb import save_glb
from renderer.face_model import COEFFICIENT_NAMES, EXPRESSION_NAMES, load_face_model, neutral_coefficients
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


def glb_document(content: bytes) -> tuple[dict, bytes]:
    """The JSON and the buffer of a GLB file."""
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON" and content[20 + size + 4 :][:4] == b"BIN\0"
    return json.loads(content[20 : 20 + size]), content[28 + size :]


def view_bytes(document, buffer, number):
    view = document["bufferViews"][number]
    return buffer[view["byteOffset"] :][: view["byteLength"]]


def test_glb_has_the_texture_and_the_units_by_name(identity, tmp_path):
    path = tmp_path / "head.glb"
    save_glb(identity, path)
    document, buffer = glb_document(path.read_bytes())
    assert document["asset"]["extras"]["notice"] == NOTICE
    (mesh,) = document["meshes"]
    assert mesh["extras"]["targetNames"] == list(EXPRESSION_NAMES)
    names = [document["materials"][one["material"]]["name"] for one in mesh["primitives"]]
    assert {"face", "hair", "eyes", "teeth", "tongue"} <= set(names)
    face = mesh["primitives"][names.index("face")]

    material = document["materials"][face["material"]]["pbrMetallicRoughness"]
    png = view_bytes(document, buffer, document["images"][material["baseColorTexture"]["index"]]["bufferView"])
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] / 255
    linear = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(linear, (identity.texture / 255) ** 2, atol=0.006)

    jaw = document["accessors"][face["targets"][EXPRESSION_NAMES.index("jawOpen")]["POSITION"]]
    moved = np.frombuffer(view_bytes(document, buffer, jaw["sparse"]["values"]["bufferView"]), np.float32).reshape(
        -1, 3
    )
    lowest = (
        -identity.expression_basis[:, 1, EXPRESSION_NAMES.index("jawOpen")].max() * 0.162
    )  # object space has y down
    assert moved[:, 1].min() == pytest.approx(lowest, rel=0.05)
    heights = document["accessors"][face["attributes"]["POSITION"]]
    assert 0.15 < heights["max"][1] - heights["min"][1] < 0.6  # metres, with the shoulders
    assert all(len(one["targets"]) == 52 for one in mesh["primitives"])


def test_glb_is_read_by_others(identity, tmp_path):
    save_glb(identity, tmp_path / "head.glb")
    scene = trimesh.load_scene(tmp_path / "head.glb")
    assert len(scene.geometry) >= 7 and all(part.is_volume is not None for part in scene.geometry.values())
    seen = {part.visual.material.name for part in scene.geometry.values() if hasattr(part.visual, "material")}
    assert {"face", "eyes"} <= seen


def test_trimesh_objects_are_posed_and_textured(identity):
    rest, opened = neutral_coefficients()[0], neutral_coefficients()[0]
    opened[COEFFICIENT_NAMES.index("jawOpen")] = 1.0
    still, posed = identity.trimesh(), identity.trimesh(opened)
    np.testing.assert_array_equal(identity.trimesh(rest).geometry["face"].vertices, still.geometry["face"].vertices)
    lower = still.geometry["teeth"].vertices[:, 1] - posed.geometry["teeth"].vertices[:, 1]
    assert lower.max() > 0.1 and lower.min() == pytest.approx(0, abs=1e-4)  # the upper teeth stay
    face = still.geometry["face"]
    image = np.asarray(face.visual.material.baseColorTexture)
    front = face.vertices[:, 2] > np.quantile(face.vertices[:, 2], 0.8)
    column, row = (face.visual.uv[front] * (1, -1) + (0, 1)).clip(0, 0.999).T
    red = image[(row * len(image)).astype(int), (column * len(image)).astype(int), 0].astype(float)
    assert np.corrcoef(red, face.vertices[front, 0])[0, 1] > 0.95  # the pattern grows to the subject's left
    with pytest.raises(RenderError, match="58"):
        identity.trimesh(np.zeros(5))

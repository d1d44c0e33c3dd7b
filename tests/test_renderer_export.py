"""Heads and reactions for other programs: each file read by a program that is not ours."""

import csv
import io
import json
import struct

import numpy as np
import pytest
import trimesh

from perfrdiff.features.tables import read_table
from renderer.errors import RenderError
from renderer.export.glb import glb_bytes, head_document, moving_glb
from renderer.export.head import head_surface, in_metres, world_vertices
from renderer.export.live_link import HEADER, live_link_csv
from renderer.export.parts import surface_parts
from renderer.export.stills import STILLS, still_files
from renderer.face_model import COEFFICIENT_NAMES, EXPRESSION_NAMES, load_face_model, neutral_coefficients
from renderer.identity.files import NOTICE
from tests.support.gltf_validator import issues
from tests.support.made_up_identity import made_up_identity
from tests.support.movement import moving

COLUMN = {name: index for index, name in enumerate(COEFFICIENT_NAMES)}


@pytest.fixture(scope="module")
def identity():
    return made_up_identity(load_face_model(), texture_size=64, hair=True)


@pytest.fixture(scope="module")
def rows():
    return moving(30)


@pytest.fixture(scope="module")
def glb(identity, rows):
    return glb_bytes(identity, rows, {"what": "AI-generated"})


def document_of(content: bytes) -> dict:
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON"
    return json.loads(content[20 : 20 + size])


# --- GLB -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_validator_of_khronos_finds_nothing(identity, glb, tmp_path):
    files = {"moving.glb": glb, "still.glb": glb_bytes(identity), "made_up.glb": glb_bytes("Omar")}
    files |= still_files(head_surface("Omar"), neutral_coefficients()[0], "posed", "glb")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for name, found in zip(files, issues(*(tmp_path / name for name in files)), strict=True):
        assert (found["numErrors"], found["numWarnings"]) == (0, 0), (name, found["messages"])


def test_every_part_has_every_unit_with_place_and_normal(glb):
    """Readers that take the number of targets from the first part lose units otherwise."""
    document = document_of(glb)
    (mesh,) = document["meshes"]
    assert mesh["extras"]["targetNames"] == list(EXPRESSION_NAMES)
    assert len(mesh["primitives"]) >= 7
    for part in mesh["primitives"]:
        assert [set(target) for target in part["targets"]] == [{"POSITION", "NORMAL"}] * 52
    assert document["asset"]["extras"] == {"notice": NOTICE, "what": "AI-generated"}
    assert "notice" not in document_of(glb_bytes("Omar"))["asset"]["extras"], "a made-up face is nobody's"


def test_another_programs_reader_finds_the_weights(glb, rows, tmp_path):
    reader = pytest.importorskip("openfacefx.importers_gltf", reason="openfacefx is in requirements-dev.txt")
    (tmp_path / "head.glb").write_bytes(glb)
    track, warnings = reader.read_gltf(str(tmp_path / "head.glb"), epsilon=0.0)
    assert not warnings and track.fps == 25
    channels = {channel.name: channel for channel in track.channels}
    for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight"):
        times, values = np.array([(key.time, key.value) for key in channels[name].keys]).T
        read = np.interp(np.arange(len(rows)) / 25, times, values)
        np.testing.assert_allclose(read, rows[:, COLUMN[name]], atol=2e-4)  # that reader rounds to four digits


def test_one_head_makes_many_files_and_stays_as_it_is(identity, rows, glb):
    document = head_document(identity)
    first, other = moving_glb(document, rows, {"what": "AI-generated"}), moving_glb(document, rows[:5])
    assert first == glb and len(other) < len(first)
    assert document.to_bytes() == glb_bytes(identity)


def test_what_cannot_be_drawn_is_refused(identity):
    with pytest.raises(RenderError, match="frames, 58"):
        glb_bytes("Omar", np.zeros((3, 5)))
    with pytest.raises(RenderError, match="no listener named 'Nobody'"):
        glb_bytes("Nobody")


# --- stills ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STILLS)
@pytest.mark.parametrize("person", ["listener", "Kofi"])
def test_a_still_is_read_back_where_the_video_draws_it(identity, rows, tmp_path, kind, person):
    head = identity if person == "listener" else person
    surface = head_surface(head)
    files = still_files(surface, rows[7], "face", kind)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    drawn = np.concatenate([part.vertices for part in surface_parts(surface)])
    expected = in_metres(world_vertices(surface, rows[7:8])[0][drawn])
    read = trimesh.load_scene(tmp_path / f"face.{kind}").bounds
    np.testing.assert_allclose(read, [expected.min(axis=0), expected.max(axis=0)], atol=1e-6)
    if kind == "obj":
        pictures = {name for name in files if name.endswith(".png")}
        assert pictures == {"face_eyes.png"} | ({"face_face.png"} if head is identity else set())
        named = {line.split()[1] for line in files["face.mtl"].decode().splitlines() if line.startswith("map_Kd")}
        assert named == pictures


def test_vertices_without_a_texture_have_the_colour_that_is_seen():
    """OBJ and PLY have no linear light: taken for sRGB it would be far too dark."""
    (content,) = still_files(head_surface("Kofi"), neutral_coefficients()[0], "face", "ply").values()
    mesh = trimesh.load(io.BytesIO(content), file_type="ply", process=False)
    front = mesh.vertices[:, 2] > np.quantile(mesh.vertices[:, 2], 0.9)
    skin = np.median(mesh.visual.vertex_colors[front, :3], axis=0)
    np.testing.assert_allclose(skin, (132, 86, 62), atol=25)  # the palette of Kofi


# --- Live Link Face --------------------------------------------------------------------------------------------------

APP_ORDER = [
    "EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft", "EyeSquintLeft",
    "EyeWideLeft", "EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight", "EyeLookOutRight", "EyeLookUpRight",
    "EyeSquintRight", "EyeWideRight", "JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel",
    "MouthPucker", "MouthRight", "MouthLeft", "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft",
    "MouthFrownRight", "MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight",
    "MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper", "MouthPressLeft", "MouthPressRight",
    "MouthLowerDownLeft", "MouthLowerDownRight", "MouthUpperUpLeft", "MouthUpperUpRight", "BrowDownLeft",
    "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight", "CheekPuff", "CheekSquintLeft",
    "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut", "HeadYaw", "HeadPitch", "HeadRoll",
    "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch", "RightEyeRoll",
]  # fmt: skip


def test_the_columns_are_those_of_the_app():
    assert ("Timecode", "BlendShapeCount", *APP_ORDER) == HEADER and len(HEADER) == 63


def test_a_row_is_written_as_the_app_writes_it():
    rows = moving(60)
    lines = list(csv.DictReader(io.StringIO(live_link_csv(rows))))
    assert [line["Timecode"] for line in lines[23:27]] == [
        "00:00:00:23.000", "00:00:00:24.000", "00:00:01:00.000", "00:00:01:01.000",
    ]  # fmt: skip
    line = lines[40]
    assert line["BlendShapeCount"] == "61" and all(len(line[name].split(".")[1]) == 10 for name in APP_ORDER)
    for name in EXPRESSION_NAMES:
        assert float(line[name[0].upper() + name[1:]]) == pytest.approx(rows[40, COLUMN[name]], abs=1e-9)


def test_angles_are_radians_to_the_left_upwards_and_to_the_left_shoulder():
    rows = neutral_coefficients(25)
    rows[:, COLUMN["rotationX"]] -= 0.1  # the chin goes up
    rows[:, COLUMN["rotationY"]] += 0.2
    rows[:, COLUMN["rotationZ"]] -= 0.3
    for name in ("eyeLookOutLeft", "eyeLookInRight", "eyeLookUpLeft"):
        rows[:, COLUMN[name]] = 1.0
    line = next(csv.DictReader(io.StringIO(live_link_csv(rows))))
    angles = [float(line[name]) for name in APP_ORDER[-9:]]
    sideways, up = np.radians(35), np.radians(25)
    np.testing.assert_allclose(angles, [0.2, 0.1, 0.3, sideways, up, 0, sideways, 0, 0], atol=1e-6)


def test_another_programs_reader_and_our_own_find_the_same_movement(tmp_path):
    reader = pytest.importorskip("openfacefx.importers_csv", reason="openfacefx is in requirements-dev.txt")
    rows = moving(60)
    path = tmp_path / "reaction_1_live_link.csv"
    path.write_text(live_link_csv(rows))
    track, _ = reader.read_csv(str(path), fps=25, epsilon=0.0)
    channels = {channel.name: channel for channel in track.channels}
    for name in ("JawOpen", "MouthSmileLeft", "EyeBlinkRight"):
        times, values = np.array([(key.time, key.value) for key in channels[name].keys]).T
        read = np.interp(np.arange(60) / 25, times, values)
        np.testing.assert_allclose(read, rows[:, COLUMN[name[0].lower() + name[1:]]], atol=2e-4)
    back = read_table(path).coefficients  # as a listener's or a speaker's movement
    np.testing.assert_allclose(back[:, :-3], rows[:, :-3], atol=1e-5)

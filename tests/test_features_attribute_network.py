"""A user's attribute network must see the face, in RGB, and replace valence, arousal and expressions, nothing else."""

from pathlib import Path

import numpy as np
import pytest

from perfrdiff.errors import InputError
from perfrdiff.features import attribute_network
from perfrdiff.features.attribute_network import AttributeNetwork
from perfrdiff.features.attributes import ATTRIBUTE_NAMES, EXPRESSION_LABELS
from perfrdiff.features.clip import read_speaker
from perfrdiff.features.media.images import read_image
from perfrdiff.features.tracking.landmarker import Face
from tests.support.clips import grey, write_clip

onnx = pytest.importorskip("onnx", reason="onnx is in requirements-dev.txt")
PORTRAIT = Path(__file__).resolve().parents[1] / "assets" / "examples" / "portrait.jpg"


def network(path: Path, outputs: int = 10, side: int | str = 32, **metadata: str) -> Path:
    """Answers with the mean red, green and blue as the first three scores, 8 times them, and 0.5, -0.25 at the end."""
    weights = np.zeros((3, outputs), np.float32)
    weights[[0, 1, 2], [0, 1, 2]] = 8.0
    rest = np.zeros(outputs, np.float32)
    rest[8:10] = [0.5, -0.25][: max(0, outputs - 8)]
    make = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            make("GlobalAveragePool", ["face"], ["pooled"]),
            make("Flatten", ["pooled"], ["flat"]),
            make("Gemm", ["flat", "weights", "rest"], ["affect"]),
        ],
        "affect",
        [onnx.helper.make_tensor_value_info("face", onnx.TensorProto.FLOAT, ["N", 3, side, side])],
        [onnx.helper.make_tensor_value_info("affect", onnx.TensorProto.FLOAT, ["N", outputs])],
        [onnx.numpy_helper.from_array(weights, "weights"), onnx.numpy_helper.from_array(rest, "rest")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.helper.set_model_props(model, {"mean": "0,0,0", "std": "1,1,1"} | metadata)
    onnx.save(model, str(path))
    return path


def face_at(x: float, y: float, size: float) -> Face:
    landmarks = np.array([[x - size / 2, y - size / 2, 0], [x + size / 2, y + size / 2, 0]], np.float32)
    return Face(landmarks, np.zeros(52, np.float32), np.eye(3), np.zeros(3), 1.0)


def softmax(scores) -> np.ndarray:
    powers = np.exp(np.asarray(scores))
    return powers / powers.sum()


@pytest.mark.parametrize("side", [32, "side"])
def test_it_sees_the_face_in_rgb(tmp_path, side):
    picture = grey(0, 200, 100)
    picture[:, 100:] = [255, 0, 51]
    read = AttributeNetwork(network(tmp_path / "a.onnx", side=side)).read(picture, face_at(160, 50, 50))
    np.testing.assert_allclose(read[:2], [0.5, -0.25], atol=1e-6)
    np.testing.assert_allclose(read[2:], softmax([8, 0, 1.6, 0, 0, 0, 0, 0]), atol=1e-5)
    black = AttributeNetwork(network(tmp_path / "a.onnx", side=side)).read(picture, face_at(5, 5, 40))
    np.testing.assert_allclose(black[2:], 1 / 8, atol=1e-6)


def test_the_files_metadata_say_how_it_wants_its_pixels_and_names_its_scores(tmp_path):
    labels = ",".join(reversed(EXPRESSION_LABELS))
    path = network(tmp_path / "a.onnx", labels=labels, mean="0.5,0,0", std="0.25,1,1")
    read = AttributeNetwork(path).read(grey(255), face_at(32, 32, 20))
    scores = dict(zip(reversed(EXPRESSION_LABELS), [16, 8, 8, 0, 0, 0, 0, 0], strict=True))
    np.testing.assert_allclose(read[2:], softmax([scores[label] for label in EXPRESSION_LABELS]), atol=1e-5)


@pytest.mark.slow
def test_in_a_clip_it_replaces_the_rules_but_not_the_action_units(tmp_path, monkeypatch):
    face = read_image(PORTRAIT)[::4, ::4]
    clip = write_clip(tmp_path / "clip.mp4", [face] * 20 + [grey(90, *face.shape[1::-1])] * 10, np.arange(30) / 25)
    monkeypatch.setenv("PERFRDIFF_CHECKPOINTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    assert attribute_network.default_network_path() is None
    ruled = read_speaker(clip).attributes
    network(tmp_path / "weights" / "affect.onnx")
    read = read_speaker(clip).attributes
    first = ATTRIBUTE_NAMES.index("valence")
    np.testing.assert_array_equal(read[:, :first], ruled[:, :first])
    np.testing.assert_allclose(read[:, first : first + 2], np.tile([0.5, -0.25], (30, 1)), atol=1e-6)
    np.testing.assert_allclose(read[:, first + 2 :].sum(axis=1), 1, atol=1e-5)
    assert (read[:, first + 2 : first + 5].min(axis=1) > read[:, first + 5 :].max(axis=1)).all()
    other = network(tmp_path / "other.onnx", labels=",".join(reversed(EXPRESSION_LABELS)))
    named = read_speaker(clip, attribute_network=other).attributes
    assert not np.allclose(named[:, first + 2 :], read[:, first + 2 :]), "the file that was named is used"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_bytes(b"no network"), "damaged or no ONNX"),
        (lambda path: network(path, outputs=7 + 2), r"\(N, 10\)"),
        (lambda path: network(path, labels="happy,sad"), "labels"),
        (lambda path: network(path, std="1,0,1"), "'std'"),
        (lambda path: None, "cannot be read"),
    ],
)
def test_an_unfit_file_is_refused_in_a_sentence(tmp_path, make, sentence):
    make(tmp_path / "a.onnx")
    with pytest.raises(InputError, match=sentence):
        AttributeNetwork(tmp_path / "a.onnx")

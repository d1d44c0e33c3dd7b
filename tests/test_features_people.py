"""The face with a number in the preview must be the one that is followed under it."""

from pathlib import Path

import pytest
from PIL import Image

from perfrdiff.errors import InputError
from perfrdiff.features.clip import read_listener
from perfrdiff.features.media.images import read_image
from perfrdiff.features.media.input import open_input
from perfrdiff.features.tracking.face_track import track_video
from perfrdiff.features.tracking.people import preview, write_preview
from tests.support.clips import two_people

pytestmark = pytest.mark.slow

PORTRAIT = Path(__file__).resolve().parents[1] / "assets" / "examples" / "portrait.jpg"


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Path:
    return two_people(tmp_path_factory.mktemp("people") / "two.mp4", read_image(PORTRAIT))


def test_of_a_photo_of_two_the_number_chooses_the_face(pair, tmp_path):
    """The same numbers in the picture that is shown and in the run."""
    with open_input(pair) as video:
        Image.fromarray(next(video.frames())).save(tmp_path / "two.png")
    _, people = preview(tmp_path / "two.png")
    assert len(people) == 2 and people[0].centre[0] < 320 < people[1].centre[0]
    listener = read_listener(tmp_path / "two.png", face_number=2)
    assert listener.landmarks[:, 0].min() > 320
    assert any("number 2 is used" in note for note in listener.notes)
    with pytest.raises(InputError, match="no person 3"):
        read_listener(tmp_path / "two.png", face_number=3)


def test_the_number_chooses_the_person(pair, tmp_path):
    picture, people = preview(pair)
    assert len(people) == 2
    assert people[0].centre[0] < 320 < people[1].centre[0], "the larger is number 1"
    assert picture.shape == (320, 640, 3)
    track = track_video(pair, face_number=2, portrait=True)
    assert track.landmarks[:, 0].min() > 320
    assert any("number 2 is followed, on the right" in note for note in track.notes)
    assert track.quality.shape == (30,)
    with pytest.raises(InputError, match="no person 3"):
        track_video(pair, face_number=3)
    assert write_preview(pair, tmp_path / "people.png") == 2
    with pytest.raises(InputError, match="cannot be written"):
        write_preview(pair, tmp_path / "no folder" / "people.png")

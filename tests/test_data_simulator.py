"""The simulated conversations: what a model can learn from them must be in them."""

import av
import numpy as np
import pytest

from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, neutral
from perfrdiff.data.simulator.habits import NAMED_STYLES, ListenerHabits, draw_habits
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.motion import Motion
from perfrdiff.data.simulator.mouth import add_speech, mouth_cues
from perfrdiff.data.simulator.speaker import idle_face, simulate_speaker
from perfrdiff.data.simulator.speech import RATE
from perfrdiff.data.simulator.talk import draw_talk
from perfrdiff.data.simulator.talking_face import add_feelings, add_head, add_wandering, draw_talker
from perfrdiff.data.simulator.tracked_speaker import hide_face, track_speaker
from perfrdiff.data.simulator.tracking import STILL_CHANNELS, simulate_tracking
from perfrdiff.data.simulator.utterances import join_utterances
from perfrdiff.data.simulator.voices import read_voices
from perfrdiff.errors import InputError
from perfrdiff.features.hearing import HEARING_NAMES
from perfrdiff.features.speech_activity import phrase_ends

pytestmark = pytest.mark.slow

SECONDS = 30.0


@pytest.fixture(scope="module")
def speakers():
    return [simulate_speaker(np.random.default_rng(i), SECONDS) for i in range(10)]


def fast_pitch(clip):
    """Head pitch in degrees without its slow part, as (frames,)."""
    pitch = np.degrees(clip[:, CHANNEL["rotationX"]])
    return pitch - np.convolve(np.pad(pitch, 25, mode="edge"), np.ones(51) / 51, mode="valid")


@pytest.fixture(scope="module")
def voice_folder(tmp_path_factory):
    """A made-up speaker's talk in two files, in two formats, and files that are no voices."""
    folder = tmp_path_factory.mktemp("voices")
    sound = draw_talk(np.random.default_rng(5), 24.0).clean
    write_sound(folder / "7-1.flac", sound[: 12 * RATE], "flac")
    write_sound(folder / "7-2.wav", sound[12 * RATE :], "pcm_s16le")
    write_sound(folder / "short.wav", sound[:RATE], "pcm_s16le")
    write_sound(folder / "silent.wav", np.zeros(5 * RATE), "pcm_s16le")
    (folder / "broken.mp3").write_bytes(b"no sound at all " * 200)
    (folder / "empty.ogg").write_bytes(b"")
    (folder / "README.md").write_text("not a sound")
    return folder


def write_sound(path, samples, codec):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def test_a_speaker_is_complete_and_plausible(speakers):
    for speaker in speakers:
        assert speaker.coefficients.shape == (750, 58) and speaker.audio.shape == (750, 78)
        assert speaker.hearing.shape == (750, 8) and speaker.face_seen.shape == (750,)
        for stream in (speaker.coefficients, speaker.audio, speaker.hearing, speaker.waveform):
            assert np.isfinite(stream).all()
        assert speaker.coefficients[:, EXPRESSION].min() >= 0 and speaker.coefficients[:, EXPRESSION].max() <= 1
        assert abs(np.median(speaker.coefficients[:, CHANNEL["rotationX"]]) - np.pi) < 0.5
        assert 2 <= sum(e.kind == "phrase_end" for e in speaker.events) <= 20


def test_phrase_ends_lie_where_the_hearing_code_hears_them(speakers):
    """A listener is to be taught by what the model can hear: after a phrase end, speech is over and the clock runs."""
    speech, since_end = (HEARING_NAMES.index(name) for name in ("speech", "since_end"))
    before, after, clock = [], [], []
    for speaker in speakers:
        for event in speaker.events:
            frame = round(event.time * FPS)
            if event.kind == "phrase_end" and 25 <= frame < 740:
                before.append(speaker.hearing[frame - 8 : frame - 2, speech].mean())
                after.append(speaker.hearing[frame + 2 : frame + 5, speech].mean())
                clock.append(speaker.hearing[frame + 4, since_end] < np.log1p(0.5 / 0.1))
    assert len(before) > 40
    assert np.mean(before) > 0.7 and np.mean(after) < 0.35
    assert np.mean(clock) > 0.7


def test_the_mouth_moves_with_the_voice(speakers):
    """A tracked jaw goes only partly with the sound; over speakers it opens while there is speech."""
    openings = []
    for speaker in speakers:
        jaw, speaks = speaker.coefficients[:, CHANNEL["jawOpen"]], speaker.hearing[:, 0] > 0.5
        if speaks.any() and not speaks.all() and speaker.face_seen.all():
            openings.append((jaw[speaks].mean(), jaw[~speaks].mean()))
    while_speaking, in_pauses = np.mean(openings, axis=0)
    assert while_speaking > 1.5 * in_pauses


def test_simulated_faces_span_what_is_tracked_of_people():
    """Standard deviations of four tracked talkers (docs/method.md 16.5) lie inside those of simulated ones."""
    tracked = {
        "mouthRollUpper": (0.095, 0.193), "cheekPuff": (0.094, 0.128), "jawLeft": (0.049, 0.076),
        "mouthShrugUpper": (0.063, 0.134), "mouthPressLeft": (0.012, 0.173), "mouthSmileLeft": (0.01, 0.288),
        "browInnerUp": (0.005, 0.240), "jawOpen": (0.118, 0.141), "mouthPucker": (0.033, 0.1),
    }  # fmt: skip
    talks = [draw_talk(np.random.default_rng(seed), 12.0) for seed in range(6)]
    faces = [draw_face(talks[seed % 6], np.random.default_rng(seed)) for seed in range(90)]
    spreads = np.stack([face.std(axis=0) for face in faces])
    for name, (least, most) in tracked.items():
        low, high = np.percentile(spreads[:, CHANNEL[name]], [5, 95])
        assert low <= least and most <= high, name
    degrees = np.degrees(spreads[:, CHANNEL["rotationX"]])
    assert np.percentile(degrees, 5) < 0.58 and np.percentile(degrees, 95) > 7.2


def draw_face(talk, rng):
    """A tracked face that says a talk of 12 s and shows no feelings."""
    motion, talker = Motion(300), draw_talker(rng)
    cues = mouth_cues(talk, 300)
    add_speech(motion, cues, talker.speech, rng)
    add_feelings(motion, [], talker, rng)
    add_wandering(motion, cues.speaks, talker, rng)
    add_head(motion, [], cues.speaks, talker, rng)
    return track_speaker(motion.coefficients(), rng)


def test_some_faces_hardly_move_and_some_are_hidden():
    rng = np.random.default_rng(0)
    talkers = [draw_talker(rng) for _ in range(400)]
    assert 0.05 < np.mean([talker.mouth < 0.2 and talker.head < 0.3 for talker in talkers]) < 0.25
    track = track_speaker(np.tile(neutral(), (750, 1)), rng)
    shares = [hide_face(track, rng)[1].mean() for _ in range(200)]
    assert 0.15 < np.mean([share < 1 for share in shares]) < 0.5
    assert 0 < np.mean([share == 0 for share in shares]) < 0.1


def test_a_hidden_face_is_bridged_not_seen():
    track = track_speaker(np.tile(neutral(), (750, 1)), np.random.default_rng(1))
    for seed in range(20):
        filled, seen = hide_face(track, np.random.default_rng(seed))
        assert filled.shape == track.shape and np.isfinite(filled).all()
        assert filled[:, EXPRESSION].min() >= 0 and filled[:, EXPRESSION].max() <= 1
        if seen.all():
            assert np.array_equal(filled, track)


def test_an_idle_face_rests():
    """To listen to a voice by: it blinks and moves a little, much less than anybody who talks."""
    face = idle_face(np.random.default_rng(2), 750)
    assert face.shape == (750, 58) and face[:, CHANNEL["eyeBlinkLeft"]].max() > 0.2
    assert 0 < np.degrees(face[:, CHANNEL["rotationX"]].std()) < 2
    assert face[:, CHANNEL["jawOpen"]].max() < 0.15


def test_a_folder_of_speech_is_read_and_what_is_none_is_named(voice_folder, capsys):
    voices = read_voices(voice_folder)
    said = capsys.readouterr().out
    assert [recording.name for recording in voices.recordings] == ["7-1.flac", "7-2.wav"]
    assert len(voices.speakers) == 1 and len(voices.speakers[0]) == 2
    assert abs(voices.recordings[0].seconds - 12) < 0.1
    for name in ("short.wav", "silent.wav", "broken.mp3", "empty.ogg"):
        assert f"{name} is left out" in said
    assert "README.md" not in said


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_voices_is_refused_in_a_sentence(tmp_path, there):
    folder = tmp_path if there else tmp_path / "nowhere"
    with pytest.raises(InputError, match=folder.name):
        read_voices(folder)


def test_a_talk_of_a_real_voice_has_no_digital_silence(voice_folder):
    """Between joined pieces, the speaker's own quiet sound: models that know silent gaps only miss people's pauses."""
    talk = join_utterances(np.random.default_rng(0), read_voices(voice_folder).speakers[0], 30.0)
    assert talk.shape == (30 * RATE,) and talk.dtype == np.float32
    blocks = talk[: len(talk) // 160 * 160].reshape(-1, 160)
    assert (np.abs(blocks).max(axis=1) > 0).mean() > 0.995
    assert len(phrase_ends(talk)) >= 4


def test_the_same_seed_gives_the_same_speaker(voice_folder):
    voices = read_voices(voice_folder)
    one, again = (simulate_speaker(np.random.default_rng(8), 10.0, voices) for _ in range(2))
    assert one.events == again.events
    for stream in ("coefficients", "waveform", "hearing", "face_seen"):
        assert np.array_equal(getattr(one, stream), getattr(again, stream)), stream


def test_nods_follow_phrase_ends(speakers):
    person = ListenerHabits(nod_rate=10, nod_follow=0.9)
    after, elsewhere = [], []
    for i, speaker in enumerate(speakers):
        speed = np.abs(np.diff(fast_pitch(simulate_listener(speaker, person, np.random.default_rng(i)))))
        near = np.zeros(len(speed), bool)
        for event in speaker.events:
            if event.kind == "phrase_end":
                near[int((event.time + 0.2) * FPS) : int((event.time + 1.4) * FPS)] = True
        after.append(speed[near].mean())
        elsewhere.append(speed[~near].mean())
    assert np.mean(after) > 1.5 * np.mean(elsewhere)


def test_a_redraw_is_another_reaction_of_the_same_person(speakers):
    person = draw_habits(np.random.default_rng(3))
    a, b = (simulate_listener(speakers[0], person, np.random.default_rng(seed)) for seed in (1, 2))
    again = simulate_listener(speakers[0], person, np.random.default_rng(1))
    assert np.array_equal(a, again)
    assert np.abs(a - b).mean() > 1e-3


def test_habits_show_in_the_behaviour(speakers):
    """Who nods more, nods more; who blinks more, blinks more; who smiles more, smiles more."""

    def over_clips(style, measure):
        clips = (simulate_listener(s, NAMED_STYLES[style], np.random.default_rng(9)) for s in speakers)
        return np.mean([measure(clip) for clip in clips])

    assert over_clips("Lively", lambda c: fast_pitch(c).std()) > 2 * over_clips("Calm", lambda c: fast_pitch(c).std())
    smile = CHANNEL["mouthSmileLeft"]
    assert over_clips("Warm", lambda c: c[:, smile].mean()) > 2 * over_clips("Doubtful", lambda c: c[:, smile].mean())
    blink = CHANNEL["eyeBlinkLeft"]
    assert over_clips("Lively", lambda c: (c[:, blink] > 0.3).mean()) > over_clips(
        "Calm", lambda c: (c[:, blink] > 0.3).mean()
    )


def test_blind_channels_stay_blind(speakers):
    rng = np.random.default_rng(5)
    clip = simulate_tracking(simulate_listener(speakers[0], draw_habits(rng), rng), rng)
    for name in STILL_CHANNELS:
        assert clip[:, CHANNEL[name]].max() < 0.05, name

"""Content credentials: without them nobody can prove what made a video, and that it is as it was made."""

import datetime
import json
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from page.settings import ServerSettings
from page.speeds import Work
from perfrdiff import __version__
from perfrdiff.errors import InputError
from perfrdiff.pipeline.credentials import DIGITAL_SOURCE_TYPE, Credentials
from perfrdiff.pipeline.request import ReactRequest
from renderer.video.writer import VideoWriter

NEEDS = "c2pa-python is not installed (pip install 'perfrdiff[credentials]')"
DAY = datetime.timedelta(days=1)
HOLDER = "Somebody's studio"


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """File names -> files: keys of each kind with certificates that a made-up authority signed, and bad ones."""
    pytest.importorskip("c2pa", reason=NEEDS)
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    folder = tmp_path_factory.mktemp("pem")
    authority = ec.generate_private_key(ec.SECP256R1())
    keys = {
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "ec384": ec.generate_private_key(ec.SECP384R1()),
        "rsa": rsa.generate_private_key(65537, 2048),
        "ed": ed25519.Ed25519PrivateKey.generate(),
        "odd": ec.generate_private_key(ec.SECP256K1()),
    }
    head = _certificate(authority, authority, is_authority=True)

    def write(name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)

    def content_of(key, way=form.PrivateFormat.PKCS8, lock=None) -> bytes:
        return key.private_bytes(form.Encoding.PEM, way, lock or form.NoEncryption())

    for name, key in keys.items():
        write(f"{name}.key", content_of(key))
        write(f"{name}.pem", _certificate(key, authority) + head)
    write("old form.key", content_of(keys["ec"], form.PrivateFormat.TraditionalOpenSSL))
    write("locked.key", content_of(keys["ec"], lock=form.BestAvailableEncryption(b"secret")))
    write("expired.pem", _certificate(keys["ec"], authority, days=(-30, -1)))
    write("for servers.pem", _certificate(keys["ec"], authority, is_for_signing=False))
    write("text.pem", b"no certificate\n")
    write("nonsense.key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    write("huge.key", b"-----BEGIN PRIVATE KEY-----\n" + b"A" * (2 << 20))
    return folder


def _certificate(key, authority, is_authority=False, is_for_signing=True, days=(-1, 30)) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(one, name) for one in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)])

    now = datetime.datetime.now(datetime.UTC)
    usages = {"digital_signature": not is_authority, "key_cert_sign": is_authority, "crl_sign": is_authority}
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
              "decipher_only")  # fmt: skip
    purpose = ExtendedKeyUsageOID.EMAIL_PROTECTION if is_for_signing else ExtendedKeyUsageOID.SERVER_AUTH
    builder = (
        x509.CertificateBuilder()
        .subject_name(named("An authority" if is_authority else HOLDER))
        .issuer_name(named("An authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usages, **dict.fromkeys(others, False)), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "reaction_1_mesh.mp4"
    with VideoWriter(path, (64, 48), audio=(np.zeros(16_000, np.float32), 16_000)) as writer:
        for value in range(25):
            writer.write(np.full((48, 64, 3), 10 * value, np.uint8))
    return path


def _pictures(path: Path) -> list[np.ndarray]:
    import av

    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def _read_back(path: Path) -> tuple[str, dict]:
    """What the library's own reader says of a file, and all of its manifest."""
    import c2pa

    with c2pa.Reader(str(path)) as reader:
        told = json.loads(reader.json())
        failures = {one["code"] for one in told["validation_results"]["activeManifest"]["failure"]}
        # A made-up authority is on nobody's list.
        assert reader.get_validation_state() != "Valid" or failures == {"signingCredential.untrusted"}
        return reader.get_validation_state(), told["manifests"][told["active_manifest"]]


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [("ec", "Es256"), ("ec384", "Es384"), ("rsa", "Ps256"), ("ed", "Ed25519"), ("old form", "Es256")],
)
def test_a_video_says_what_made_it(pem, video, key, algorithm):
    before, pictures = video.read_bytes(), _pictures(video)
    Credentials(pem / f"{key}.key", pem / f"{key.replace('old form', 'ec')}.pem").sign(video)
    state, manifest = _read_back(video)
    assert state == "Valid"
    assert manifest["signature_info"]["alg"] == algorithm and manifest["signature_info"]["issuer"] == HOLDER
    (generator,) = manifest["claim_generator_info"]
    assert (generator["name"], generator["version"]) == ("PerFRDiff", __version__)
    (actions,) = (one["data"]["actions"] for one in manifest["assertions"] if one["label"].startswith("c2pa.actions"))
    assert [(one["action"], one["digitalSourceType"]) for one in actions] == [("c2pa.created", DIGITAL_SOURCE_TYPE)]
    assert all(map(np.array_equal, _pictures(video), pictures)) and video.read_bytes() != before
    assert [path.name for path in video.parent.iterdir()] == [video.name]


def test_credentials_tell_nothing_of_anybody(pem, video):
    """What is in the file beside the pictures: the owner of the certificate, and no place, person or moment."""
    Credentials(pem / "ec.key", pem / "ec.pem").sign(video)
    content = video.read_bytes()
    assert HOLDER.encode() in content
    for word in (str(video.parent), str(pem), "pytest", "signingTime"):
        assert word.encode() not in content
    _, manifest = _read_back(video)
    assert set(manifest) <= {
        "claim_generator_info", "title", "instance_id", "assertions", "signature_info", "label", "claim_version",
    }  # fmt: skip
    assert manifest["title"] == "reaction_1_mesh.mp4" and "time" not in manifest["signature_info"]


def test_a_changed_video_is_seen(pem, video):
    Credentials(pem / "ec.key", pem / "ec.pem").sign(video)
    content = bytearray(video.read_bytes())
    content[content.index(b"mdat") + 40] ^= 1
    video.write_bytes(content)
    assert _read_back(video)[0] == "Invalid"


@pytest.mark.parametrize(
    ("key", "certificate", "sentence"),
    [
        ("absent.key", "ec.pem", r"absent\.key cannot be read \(No such file or directory\)"),
        ("ec.key", "absent.pem", r"absent\.pem cannot be read"),
        (".", "ec.pem", r"cannot be read \(Is a directory\)"),
        ("locked.key", "ec.pem", "has a passphrase"),
        ("nonsense.key", "ec.pem", "is no private key"),
        ("ec.pem", "ec.pem", "is no private key"),
        ("huge.key", "ec.pem", "is no PEM file"),
        ("odd.key", "odd.pem", "of a kind that C2PA does not sign with"),
        ("ec.key", "text.pem", "is no PEM file"),
        ("ec.key", "ec.key", "cannot sign"),
        ("ec.key", "rsa.pem", "cannot sign"),
        ("ec384.key", "ec.pem", "cannot sign"),
        ("ec.key", "expired.pem", "cannot sign"),
        ("ec.key", "for servers.pem", "cannot sign"),
    ],
)
def test_a_key_that_cannot_sign_is_one_sentence(pem, key, certificate, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        Credentials(pem / key, pem / certificate)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value) and len(str(caught.value)) < 700


def test_a_video_that_cannot_be_signed_stays_as_it_was(pem, tmp_path):
    (path := tmp_path / "reaction_1_mesh.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"^reaction_1_mesh\.mp4 could not be given its content credentials"):
        Credentials(pem / "ec.key", pem / "ec.pem").sign(path)
    assert path.read_bytes() == b"no video" and len(list(tmp_path.iterdir())) == 1


def test_without_the_package_a_sentence_names_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(InputError, match=r"pip install 'perfrdiff\[credentials\]'"):
        Credentials(tmp_path / "key", tmp_path / "certificate")


def test_a_key_without_its_certificate_is_refused_at_once(tmp_path):
    files = {"speaker": "a.mp4", "listener": "b.jpg", "out": tmp_path}
    for name in ("credentials_key", "credentials_certificate"):
        with pytest.raises(InputError, match="both"):
            ReactRequest(**files, **{name: tmp_path / "file.pem"})
        with pytest.raises(InputError, match="both files"):
            ServerSettings.read({name: "file.pem"}, {})


def test_a_visitor_names_no_key_and_gets_the_servers(tmp_path):
    """What a call names is not taken, and what the server has is in every run, and told to nobody."""
    from page.api import PARAMETERS

    assert not {"credentials_key", "credentials_certificate"} & set(PARAMETERS)
    request = ReactRequest(
        speaker="a.mp4", listener="b.jpg", out=tmp_path, credentials_key="k", credentials_certificate="c"
    )
    assert not {"k", "c"} & set(map(str, request.public().values()))


def test_every_run_of_the_page_has_the_servers_key(monkeypatch, tmp_path):
    from page import jobs as queue

    asked = []
    settings = ServerSettings(credentials_key=Path("k"), credentials_certificate=Path("c"))
    monkeypatch.setattr(queue, "_work_of", lambda request: Work(1.0, 1.0, 1, 2, 1.0))
    monkeypatch.setattr(queue, "follow", lambda request, *_: asked.append(request) or iter(()))
    jobs = queue.Jobs(settings)
    jobs.submit(ReactRequest(speaker="a.mp4", listener="b.jpg", out=tmp_path))
    end = time.monotonic() + 30
    while not asked and time.monotonic() < end:
        time.sleep(0.02)
    assert [(one.credentials_key, one.credentials_certificate) for one in asked] == [(Path("k"), Path("c"))]


@pytest.mark.slow
def test_all_videos_of_a_run_are_signed_and_the_archive_has_the_signed_ones(pem, tmp_path, portrait, weights):
    """From the shell's settings to the files, in a process as a user's."""
    from perfrdiff.pipeline.run import react
    from tests.support.clips import EXAMPLES, cut

    request = ReactRequest(
        speaker=cut(EXAMPLES / "speaker.mp4", tmp_path / "talk.mp4", 1.2), listener=portrait, out=tmp_path / "out",
        samples=1, steps=2, size=224, views="mesh", weights=weights, transparent=True,
        credentials_key=pem / "ec.key", credentials_certificate=pem / "ec.pem",
    )  # fmt: skip
    result = react(request)
    videos = [result.side_by_side, *result.reactions[0].videos.values()]
    for path in videos:
        assert _read_back(path)[0] == "Valid"
    with zipfile.ZipFile(result.archive) as archive:
        assert all(archive.read(path.name) == path.read_bytes() for path in videos)
    assert "PRIVATE" not in result.settings.read_text(encoding="utf-8") and str(pem) not in result.settings.read_text()
    locked = replace(request, out=tmp_path / "other", credentials_key=pem / "locked.key")
    with pytest.raises(InputError, match="passphrase"):
        react(locked)
    assert not (tmp_path / "other").exists()

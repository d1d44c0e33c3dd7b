"""Content credentials (C2PA 2): a signature in each MP4, with the user's own key, that says what made it.

It says that a trained algorithm made the pictures, which program of which version did so, and nothing of anybody: the
only name in it is that of the certificate's owner. Nothing is asked of a network, so there is no time stamp either, and
a reader holds the signature for good as long as the certificate is. Needs the extra `perfrdiff[credentials]`.
"""

from __future__ import annotations

import io
import secrets
from pathlib import Path
from typing import Any

from PIL import Image

from perfrdiff import __version__
from perfrdiff.errors import InputError

__all__ = ["DIGITAL_SOURCE_TYPE", "Credentials"]

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # IPTC's term
PROGRAM = {"name": "PerFRDiff", "version": __version__}
MOST_BYTES = 1 << 20  # of a key or a chain of certificates
MP4 = "video/mp4"
"""Of what a run writes, the one kind that the library can sign: WebM, glTF and CSV have no place for credentials."""


class Credentials:
    """A key and its certificate, ready to sign. Loading tries them on a picture of one pixel."""

    def __init__(self, key: Path, certificate: Path) -> None:
        """`key`: a private key (EC, RSA or Ed25519) without a passphrase; `certificate`: its certificate, followed by
        those that signed it. Both are PEM files.

        Raises InputError, in one sentence: the package is missing, a file cannot be read, or C2PA does not let these
        sign (the key is another's, the certificate has expired, or is not for signing).
        """
        try:
            import c2pa
        except ImportError:
            raise InputError("Content credentials need a package: pip install 'perfrdiff[credentials]'.") from None
        self._c2pa = c2pa
        algorithm, key_bytes = _read_key(key)
        chain = _read(certificate, "the certificate, as a PEM file")
        try:
            self._signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, key_bytes, None))
            self._embed("image/png", io.BytesIO(_one_pixel()), io.BytesIO(), "trial")
        except c2pa.C2paError as error:
            raise InputError(
                f"{certificate} and {key} cannot sign content credentials ({_reason(error)}); C2PA wants a certificate "
                "for signing (emailProtection or documentSigning) that is valid now, with its key."
            ) from None

    def sign(self, path: Path) -> None:
        """Put the credentials into a finished MP4, which is replaced when all is well.

        Raises InputError where that cannot be done; the file is then as it was.
        """
        signed = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with path.open("rb") as source, signed.open("w+b") as target:
                self._embed(MP4, source, target, path.name)
            signed.replace(path)
        except self._c2pa.C2paError as error:
            raise InputError(f"{path.name} could not be given its content credentials ({_reason(error)}).") from None
        finally:
            signed.unlink(missing_ok=True)

    def _embed(self, kind: str, source: Any, target: Any, title: str) -> None:
        with self._c2pa.Builder(_manifest(title)) as builder:
            builder.sign(self._signer, kind, source, target)


def _manifest(title: str) -> dict[str, object]:
    """What is signed. `title`: the file's name as the program gave it."""
    made = {"action": "c2pa.created", "digitalSourceType": DIGITAL_SOURCE_TYPE, "softwareAgent": PROGRAM}
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [made]}}
    return {"claim_generator_info": [PROGRAM], "title": title, "assertions": [actions]}


def _read_key(path: Path) -> tuple[str, bytes]:
    """C2PA's name of the algorithm that a key signs with, and the key as PKCS#8. Raises InputError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as pem

    content = _read(path, "the private key, as a PEM file")
    try:
        key = pem.load_pem_private_key(content, None)
    except TypeError:
        raise InputError(f"The key in {path} has a passphrase; give one without, which nobody else can read.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{path} is no private key; content credentials want one as a PEM file.") from None
    algorithm = _algorithm_of(key)
    if algorithm is None:
        raise InputError(f"The key in {path} is of a kind that C2PA does not sign with; it takes EC, RSA and Ed25519.")
    return algorithm, key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())


def _algorithm_of(key: Any) -> str | None:
    """The algorithm for a key, of those that C2PA's specification lists under digital signatures."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else None
    return {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}.get(curve)


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); content credentials need {what}.") from None
    if len(content) > MOST_BYTES or b"-----BEGIN" not in content:
        raise InputError(f"{path} is no PEM file; content credentials need {what}.")
    return content


def _one_pixel() -> bytes:
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "png")
    return file.getvalue()


def _reason(error: Exception) -> str:
    """What the library says, on one line, without the kind of error in front."""
    return " ".join(str(error).partition(": ")[2].split())[:200].rstrip(".")

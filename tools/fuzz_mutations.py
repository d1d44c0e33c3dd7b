"""Good files, spoilt: bytes, texts, the members of archives and the headers of safetensors."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Sequence

import numpy as np

NUMBERS = (
    0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1,
)  # fmt: skip
WORDS = (
    b"nan", b"-inf", b"1e999", b"-1", b"0", b"9" * 40, b"9" * 400, b"4294967296", b"null", b"true", b'""', b"[]",
    b"{}", b"[" * 3000, b'{"a":' * 2000, b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b",", b"\n", b"\r", b'"', b"'",
    b"../../x", b"/etc/passwd", b"!!python/object/apply:os.system [id]", b"&a [*a]", b"*a", b"<<: ", b"? ",
    b"2001-99-99", b"!!bool x", b"\\ud800", b"%s%n", b"O", b"|O8", b"(9999999999,)", b"<f8", b"<U0",
)  # fmt: skip


def spoil(rng: np.random.Generator, data: bytes, others: Sequence[bytes]) -> bytes:
    """One of many ways to spoil `data`; `others`: good files of the same kind, to cut pieces from."""
    for pieces in (_zip, _safetensors):
        if rng.random() < 0.6 and (spoilt := pieces(rng, data)) is not None:
            return spoilt
    return _spoil_bytes(rng, data, others)


def _spoil_bytes(rng: np.random.Generator, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not out:
            break
        way, at = int(rng.integers(10)), int(rng.integers(len(out)))
        if rng.random() < 0.4:  # headers are where lies are told
            at = int(rng.integers(min(len(out), 256)))
        length = int(min(2 ** rng.integers(0, 12), len(out) - at))
        if way == 0:
            out[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            out[at : at + length] = rng.integers(0, 256, length, np.uint8).tobytes()
        elif way == 2:
            del out[at:]
        elif way == 3:
            del out[at : at + length]
        elif way == 4:
            out[at:at] = out[at : at + length] * int(rng.integers(1, 4))
        elif way == 5:
            number = NUMBERS[int(rng.integers(len(NUMBERS)))]
            size = int(rng.choice([1, 2, 4, 8]))
            order = "little" if rng.random() < 0.5 else "big"
            out[at : at + size] = (number & ((1 << 8 * size) - 1)).to_bytes(size, order)  # type: ignore[arg-type]
        elif way == 6:
            word = WORDS[int(rng.integers(len(WORDS)))]
            out[at : at + (len(word) if rng.random() < 0.5 else 0)] = word
        elif way == 7 and others:
            other = others[int(rng.integers(len(others)))]
            start = int(rng.integers(len(other)))
            out[at : at + length] = other[start : start + length]
        elif way == 8:
            out += rng.integers(0, 256, length, np.uint8).tobytes()
        else:
            _replace_number(rng, out)
    return bytes(out)


def _replace_number(rng: np.random.Generator, out: bytearray) -> None:
    """A number that is written in digits becomes another word."""
    digits = [at for at in range(min(len(out), 1 << 16)) if 48 <= out[at] <= 57]
    if digits:
        at = digits[int(rng.integers(len(digits)))]
        end = at
        while end < len(out) and 48 <= out[end] <= 57:
            end += 1
        out[at:end] = WORDS[int(rng.integers(len(WORDS)))]


def _zip(rng: np.random.Generator, data: bytes) -> bytes | None:
    """The archive put together again with one member spoilt, renamed, doubled, left out, or packed."""
    if not data.startswith(b"PK\x03\x04"):
        return None
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # doubled names are meant
        names = old.namelist()
        chosen, way = names[int(rng.integers(len(names)))], int(rng.integers(8))
        for info in old.infolist():
            content, name = old.read(info), info.filename
            method = info.compress_type
            if name == chosen:
                if way == 0:
                    continue
                if way == 1:
                    name = ("../" * 3 + name, "/" + name, "", name[:-4], "x" * 200)[int(rng.integers(5))]
                elif way == 2:
                    method = zipfile.ZIP_DEFLATED if method == zipfile.ZIP_STORED else zipfile.ZIP_STORED
                elif way == 3:
                    new.writestr(name, content, method)
                else:
                    head = content[:128] if rng.random() < 0.7 else content
                    content = _spoil_bytes(rng, head) + content[len(head) :]
            new.writestr(name or "x", content, method)
    return out.getvalue()


def _safetensors(rng: np.random.Generator, data: bytes) -> bytes | None:
    """The header spoilt as text or as JSON, with its length put right, or with a length that lies."""
    if len(data) < 10 or data[8:9] != b"{":
        return None
    (length,) = struct.unpack("<Q", data[:8])
    header, body = data[8 : 8 + length], data[8 + length :]
    if rng.random() < 0.5:
        table = json.loads(header)
        _spoil_json(rng, table)
        header = json.dumps(table).encode()
    else:
        header = _spoil_bytes(rng, header)
    said = len(header) if rng.random() < 0.9 else NUMBERS[int(rng.integers(len(NUMBERS)))]
    return struct.pack("<Q", said) + header + body


def _spoil_json(rng: np.random.Generator, table: dict) -> None:
    """One value of the header changed: a tensor's type, shape or place, or a text of the metadata."""
    keys = list(table)
    key = keys[int(rng.integers(len(keys)))] if rng.random() < 0.5 or "__metadata__" not in table else "__metadata__"
    entry = table[key]
    field = list(entry)[int(rng.integers(len(entry)))]
    if key == "__metadata__":
        text = _spoil_bytes(rng, entry[field].encode())
        entry[field] = text.decode("utf-8", "replace")
    elif field == "dtype":
        entry[field] = str(rng.choice(["F16", "F64", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "X"]))
    else:
        place = int(rng.integers(len(entry[field]) or 1))
        entry[field] = [*entry[field]]
        entry[field][place : place + 1] = [int(rng.choice(np.array(NUMBERS[:-2], dtype=np.int64)))]

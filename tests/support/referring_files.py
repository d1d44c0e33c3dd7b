"""Files that name other files or addresses, in every way that a reader of media might follow."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.clips import grey, write_clip

BAIT = "bait.ts"  # what they name: a good clip, so that a reader who followed would read it
ODD_NAMES = (
    "concat:bait.ts|bait.ts", "file:bait.ts", "http:clip.mp4", "crypto:bait.ts", "subfile,,start,0,end,0,,:bait.ts",
    "cache:bait.ts", "async:bait.ts", "pipe:0", "fd:0", "tee:bait.ts", "-i bait.ts", "|cat bait.ts", "clip%03d.mp4",
    "data:video;base64,AAAA",
)  # fmt: skip
"""Names of good clips: each is an address or a command to one reader or another."""


def write_referring_files(folder: Path, port: int) -> dict[str, Path]:
    """Name -> file, in a folder that has `BAIT` as well. `port`: of this machine, where nobody should call."""
    bait = write_clip(folder / BAIT, [grey(90)] * 30, np.arange(30) / 25)
    good = write_clip(folder / "good.mp4", [grey(90)] * 30, np.arange(30) / 25).read_bytes()
    web = f"http://127.0.0.1:{port}/clip.ts"
    targets = {"path": str(bait), "file": f"file://{bait}", "web": web}
    texts = {f"{kind} {where}.mp4": text(to) for where, to in targets.items() for kind, text in TEXTS.items()}
    texts |= {f"{kind}.jpg": text(BAIT) for kind, text in TEXTS.items()}
    texts["session.mp4"] = f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=video {port} RTP/AVP 33\r\n"
    contents = {name: text.encode() for name, text in texts.items()}
    contents |= {"outside.mov": with_data_outside(good, bait), "reference.mov": _reference_movie(bait)}
    contents |= dict.fromkeys(ODD_NAMES, good)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for name in ("photo%03d.jpg", "photo*.jpg", "concat:photo.jpg", "http:photo.jpg"):
        Image.fromarray(grey(90)).save(folder / name, "jpeg")
        contents[name] = b""
    return {name: folder / name for name in contents}


TEXTS: dict[str, Callable[[str], str]] = {
    "hls": lambda to: f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{to}\n#EXT-X-ENDLIST\n",
    "hls key": lambda to: f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{to}"\n#EXTINF:2,\n{to}\n#EXT-X-ENDLIST\n',
    "hls map": lambda to: f'#EXTM3U\n#EXT-X-MAP:URI="{to}"\n#EXTINF:2,\n{to}\n#EXT-X-ENDLIST\n',
    "m3u": lambda to: f"{to}\n",
    "ffconcat": lambda to: f"ffconcat version 1.0\nfile '{to}'\nduration 1\n",
    "pls": lambda to: f"[playlist]\nFile1={to}\nNumberOfEntries=1\n",
    "asx": lambda to: f'<asx version="3.0"><entry><ref href="{to}"/></entry></asx>\n',
    "ref": lambda to: f"[Reference]\nRef1={to}?MSWMExt=.asf\n",
    "ram": lambda to: f".RMF\n{to}\n",
    "qtl": lambda to: (
        f'<?xml version="1.0"?><?quicktime type="application/x-quicktime-media-link"?><embed src="{to}"/>'
    ),
    "smil": lambda to: f'<smil><body><video src="{to}"/></body></smil>\n',
    "xspf": lambda to: f"<playlist><trackList><track><location>{to}</location></track></trackList></playlist>\n",
    "dash": lambda to: (
        f'<?xml version="1.0"?><MPD type="static" mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:'
        f'isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
        f"<BaseURL>{to}</BaseURL></Representation></AdaptationSet></Period></MPD>\n"
    ),
    "imf": lambda to: f"<AssetMap><AssetList><Asset><Path>{to}</Path></Asset></AssetList></AssetMap>\n",
    "avisynth": lambda to: f'FFmpegSource2("{to}")\n',
    "entity": lambda to: f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "{to}">]><a>&b;</a>\n',
    "svg": lambda to: (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="64" height="64">'
        f'<image xlink:href="{to}" width="64" height="64"/></svg>\n'
    ),
    "postscript": lambda to: f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n({to}) run\nshowpage\n%%EOF\n",
    "mvg": lambda to: f"push graphic-context\nviewbox 0 0 64 64\nimage over 0,0 0,0 '{to}'\npop graphic-context\n",
    "html": lambda to: f'<html><body><video src="{to}"></video><img src="{to}"></body></html>\n',
}
"""Kind -> the file's text, for what it is to name."""


def with_data_outside(movie: bytes, target: Path) -> bytes:
    """An MP4 whose `dref` says by an alias record that the pictures lie in another file (QuickTime File Format, data
    references). `movie`: with its `moov` at the end, so that no place in it moves."""
    path = str(target).encode() + b"\0" * (len(str(target)) % 2)
    record = b"\0" * 10 + bytes([6]) + b"volume".ljust(27, b"\0") + b"\0" * 12
    record += bytes([len(target.name)]) + target.name.encode().ljust(63, b"\0") + b"\0" * 16
    record += (
        struct.pack(">hh", 1, 1) + b"\0" * 16 + struct.pack(">hh", 2, len(path)) + path + struct.pack(">hh", -1, 0)
    )
    entry = struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record
    return _changed(movie, (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"), struct.pack(">II", 0, 1) + entry)


def _changed(boxes: bytes, way: tuple[bytes, ...], body: bytes) -> bytes:
    """Boxes of ISO media with the body of one of them, found by its way, replaced."""
    result, at = b"", 0
    while at < len(boxes):
        size, kind = struct.unpack_from(">I4s", boxes, at)
        inner = boxes[at + 8 : at + size]
        if kind == way[0]:
            inner = body if len(way) == 1 else _changed(inner, way[1:], body)
        result += struct.pack(">I4s", len(inner) + 8, kind) + inner
        at += size
    return result


def _reference_movie(target: Path) -> bytes:
    """A QuickTime reference movie: nothing but the address of another."""
    address = f"file://{target}".encode() + b"\0"
    rdrf = b"\0" * 4 + b"url " + struct.pack(">I", len(address)) + address
    boxes = rdrf
    for kind in (b"rdrf", b"rmda", b"rmra", b"moov"):
        boxes = struct.pack(">I4s", len(boxes) + 8, kind) + boxes
    return struct.pack(">I4s4sI4s", 20, b"ftyp", b"qt  ", 0, b"qt  ") + boxes

"""Photos: any common picture file -> upright 8-bit RGB, judged by content and refused from the header when absurd."""

import os
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from perfrdiff.errors import InputError
from perfrdiff.features.media.local_file import LocalFile, as_local_file
from perfrdiff.features.media.pixels import most_pixels

__all__ = ["BACKGROUND", "LONGEST_SIDE", "MOST_PIXELS", "SHORTEST_SIDE", "is_image", "read_image"]

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF")
MOST_PIXELS = 64_000_000  # a 50-megapixel phone photo fits; decoded it takes 200 MB
LONGEST_SIDE = 2048  # larger photos are shrunk to this; a face for a 512² animation needs no more
SHORTEST_SIDE = 48  # pixels; nothing below can hold a face that can be read
BACKGROUND = (200, 200, 200)  # light grey, laid under transparent pixels

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")  # ISO media "brands" of pictures


def is_image(head: bytes) -> bool:
    """Whether a file's first bytes (16 or more) are those of a picture; an animation is a picture."""
    if head[4:8] == b"ftyp":
        return head[8:12] in _STILL_BRANDS
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def read_image(source: str | os.PathLike | LocalFile) -> np.ndarray:
    """A photo as upright RGB.

    EXIF orientation is applied, transparency is laid over light grey, CMYK and 16 bit are converted, of an animation
    the first frame counts, and a photo larger than 2048 px is shrunk. Nothing of the metadata is kept.

    Returns:
        (H, W, 3) uint8, long side at most 2048.

    Raises:
        InputError: not a picture, damaged, larger than 64 megapixels or what a server allows (by its header, nothing
            is decoded), or smaller than 48 px.
    """
    with as_local_file(source) as file:
        name, most = file.name, most_pixels(MOST_PIXELS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's bomb warning: the limit below is ours
                Image.init()  # registers AVIF, TIFF and WebP, which Pillow leaves out until asked
                image = Image.open(file.reader(), formats=FORMATS)
        except Image.DecompressionBombError:
            raise InputError(f"{name} claims more than {most / 10**6:g} megapixels; use a smaller photo.") from None
        except UnidentifiedImageError:
            raise InputError(f"{name} is not a picture that can be read; use JPEG, PNG or WebP.") from None
        except Exception:  # Pillow's plugins raise what they like on hostile headers
            raise InputError(f"{name} is a damaged or unsafe picture and was not read.") from None
        width, height = image.size
        if width * height > most:
            raise InputError(
                f"{name} claims {width} x {height} pixels, more than {most / 10**6:g} megapixels; use a smaller photo."
            )
        if min(width, height) < SHORTEST_SIDE:
            raise InputError(
                f"{name} has {width} x {height} pixels; a photo of at least {SHORTEST_SIDE} px a side is needed."
            )
        try:
            return _decode(image)
        except Exception:
            raise InputError(f"{name} is a damaged picture: it could not be decoded to its end.") from None


def _decode(image: Image.Image) -> np.ndarray:
    if image.format == "JPEG":
        image.draft(image.mode, (LONGEST_SIDE, LONGEST_SIDE))  # decodes at 1/2, 1/4 or 1/8 size where that suffices
    is_plain_cmyk = image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info
    image.load()
    image = ImageOps.exif_transpose(image)
    if is_plain_cmyk:
        # Pillow takes every CMYK JPEG for Adobe's inverted kind; without the Adobe marker the values are plain.
        image = image.point(lambda value: 255 - value)
    image = _to_rgb(image)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return np.array(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        # 16-bit grey; a plain convert would clip everything above 255 to white.
        full = 65535.0 if values.max(initial=0.0) > 255 else 255.0
        return Image.fromarray(np.clip(values / full * 255.0, 0, 255).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (*BACKGROUND, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image.convert("RGB")

"""Where things stand in a picture: the label of single videos, and the speaker beside K reactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from renderer.errors import RenderError
from renderer.yuv420 import YuvPicture, to_yuv420

AI_LABEL = "AI-generated"
MAX_REACTIONS = 10
MAX_CANVAS_SIZE = (1920, 1200)
"""The side-by-side video never exceeds this: larger H.264 stutters on phones and laptops."""

BACKGROUND_COLOUR = (22, 24, 29)
TEXT_COLOUR = (236, 236, 232)
SECONDARY_TEXT_COLOUR = (156, 160, 168)
LINE_SPACING = 1.3  # from one line of text to the next, in letter heights
TWO_ROWS_FROM = 6  # this many reactions stand in two rows: five beside a speaker still fit a laptop's screen
SPEAKER_ASPECT = (9 / 16, 16 / 9)  # narrower or wider speaker videos are cropped to this, the rest is shown whole


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)  # Pillow's own font: no font need be installed


@lru_cache(maxsize=16)
def _label_patch(text: str, size: int) -> np.ndarray:
    """The label as (h, w, 4) uint8: white letters on a dark pill with soft edges."""
    font = _font(size)
    left, top, right, bottom = font.getbbox(text)
    pad_x, pad_y = round(size * 0.6), round(size * 0.35)
    scale = 4  # drawn four times larger, then averaged: Pillow does not smooth the pill's edge
    width, height = right - left + 2 * pad_x, bottom - top + 2 * pad_y
    pill = Image.new("L", (width * scale, height * scale), 0)
    ImageDraw.Draw(pill).rounded_rectangle((0, 0, width * scale - 1, height * scale - 1), height * scale // 2, fill=150)
    patch = Image.new("RGBA", (width, height), (12, 13, 16, 0))
    patch.putalpha(pill.resize((width, height), Image.Resampling.BOX))
    ImageDraw.Draw(patch).text((pad_x - left, pad_y - top), text, font=font, fill=(255, 255, 255, 255))
    return np.asarray(patch)


def _placed_label(height: int, width: int, text: str) -> tuple[np.ndarray, int, int] | None:
    """The label for a picture of that size with the place of its upper left corner, y and x; None: too small for it."""
    patch = _label_patch(text, max(12, round(min(height, width) / 20)))
    margin = max(4, round(min(height, width) / 40))
    if patch.shape[1] + 2 * margin > width or patch.shape[0] + 2 * margin > height:
        return None
    return patch, height - margin - patch.shape[0], margin


def _mix_label(region: np.ndarray, patch: np.ndarray) -> None:
    """Lays the label (h, w, 4) over region (h, w, 3) uint8 RGB, in place."""
    alpha = patch[..., 3:].astype(np.uint32)
    region[:] = (region * (255 - alpha) + patch[..., :3] * alpha + 127) // 255


def stamp_label(frame: np.ndarray, text: str = AI_LABEL) -> np.ndarray:
    """A copy of frame (H, W, 3) uint8 RGB, or (H, W, 4) with opacity, with a small label in its lower left corner.

    Pictures too small to hold the label at a readable size (under about 90 pixels wide) come back without it.
    """
    out = frame.copy()
    placed = _placed_label(frame.shape[0], frame.shape[1], text)
    if placed is None:
        return out
    patch, y, x = placed
    region = out[y : y + patch.shape[0], x : x + patch.shape[1]]
    if frame.shape[2] == 3:
        _mix_label(region, patch)
        return out
    alpha = patch[..., 3:].astype(np.uint32)
    background_alpha = region[..., 3:] * (255 - alpha) // 255  # what still shows of the picture
    combined_alpha = np.maximum(alpha + background_alpha, 1)
    region[..., :3] = (region[..., :3] * background_alpha + patch[..., :3] * alpha) // combined_alpha
    region[..., 3:] = alpha + background_alpha
    return out


def stamped_yuv(frame: np.ndarray, picture: YuvPicture, text: str = AI_LABEL) -> YuvPicture:
    """A copy of `picture`, the conversion of frame (H, W, 3) uint8 RGB, as if `stamp_label` had come before it.

    Only the corner that holds the label is converted again.
    """
    height, width = frame.shape[:2]
    labelled = picture.copy()
    placed = _placed_label(height, width, text)
    if placed is not None:
        patch, y, x = placed
        top, right = y - y % 2, min(width, x + patch.shape[1] + 1)
        region = frame[top:, : right + right % 2].copy()
        _mix_label(region[y - top : y - top + patch.shape[0], x : x + patch.shape[1]], patch)
        labelled.paste(to_yuv420(region), 0, top)
    return labelled


@dataclass(frozen=True)
class _Rectangle:
    """A rectangle of the canvas in pixels."""

    x: int
    y: int
    width: int
    height: int


class SideBySideLayout:
    """The speaker on the left and a card for each reaction on the right; in a card, one picture below the other.

    The speaker's tile takes the shape of the speaker's own video, so nothing is letterboxed; all reaction tiles are
    equal squares. Width and height of the canvas are even, and at most 1920x1200. Tiles and their places are even too:
    pictures are put together as they are encoded, with colours at half the resolution.

    speaker_size: (width, height) of the speaker's frames. None leaves the speaker out.
    captions: one short text per reaction, 1 to 10 of them; what stands behind a line break goes below, fainter.
    pictures: squares in one card: 1 (mesh or photo) or 2 (mesh above photo).
    tile: wished edge of a reaction's square in pixels; smaller where the canvas would get too large.
    speaker_caption, note, label: the text under the speaker, and the two texts of the bottom line.
    """

    def __init__(
        self,
        speaker_size: tuple[int, int] | None,
        captions: Sequence[str],
        views_per_reaction: int,
        tile_size: int = 256,
        speaker_caption: str = "Speaker",
        note: str = "",
        label: str = AI_LABEL,
    ) -> None:
        if not 1 <= len(captions) <= MAX_REACTIONS:
            raise RenderError(
                f"Side by side there is room for 1 to {MAX_REACTIONS} reactions, not for {len(captions)}."
            )
        if views_per_reaction not in (1, 2):
            raise RenderError(f"A reaction is shown by 1 or 2 pictures (mesh, photo), not by {views_per_reaction}.")
        self._captions = tuple(captions)
        self._views_per_reaction = views_per_reaction
        self._aspect = None
        if speaker_size is not None:
            self._aspect = float(np.clip(speaker_size[0] / speaker_size[1], *SPEAKER_ASPECT))
        self._texts = (speaker_caption, note, label)
        for size in range(_even(tile_size), 63, -8):
            self._arrange(size)
            if self.size[0] <= MAX_CANVAS_SIZE[0] and self.size[1] <= MAX_CANVAS_SIZE[1]:
                break
        self._canvas = to_yuv420(self._background())
        self._ground = [int(plane[0, 0]) for plane in self._canvas.planes]  # the canvas has a margin of it
        self._corners = _corner_masks(self._radius)

    def _arrange(self, tile_size: int) -> None:
        """Place every tile for reaction squares of `tile_size` pixels."""
        count = len(self._captions)
        rows = 1 if count < TWO_ROWS_FROM else 2
        columns = ceil(count / rows)
        gap, self._margin, self._radius = (_even(max(*sizes)) for sizes in (
            (6, tile_size // 24), (12, tile_size // 12), (4, tile_size // 24)
        ))  # fmt: skip
        self.tile_size = tile_size
        self._text_size = max(13, round(tile_size / 17))
        caption = _even(self._text_size * 1.9)
        lines = max(text.count("\n") for text in self._captions)
        card = (
            self._views_per_reaction * tile_size
            + (self._views_per_reaction - 1) * gap
            + caption
            + lines * _even(self._text_size * LINE_SPACING)
        )
        body = rows * card + (rows - 1) * gap
        left, top = self._margin, self._margin
        self._speaker_tile = None
        if self._aspect is not None:
            longest = 2 * tile_size + gap
            height = min(body - caption, longest, _even(longest / self._aspect))
            width = _even(height * self._aspect)
            self._speaker_tile = _Rectangle(left, top + _even((body - caption - height) / 2), width, height)
            left += width + 2 * gap
        self._reaction_tiles = [
            [
                _Rectangle(
                    left + index % columns * (tile_size + gap),
                    top + index // columns * (card + gap) + picture * (tile_size + gap),
                    tile_size,
                    tile_size,
                )
                for picture in range(self._views_per_reaction)
            ]
            for index in range(count)
        ]
        width = left + columns * tile_size + (columns - 1) * gap + self._margin
        self._footer_top = top + body
        height = self._footer_top + caption + self._margin // 2
        self.size = (width + width % 2, height + height % 2)

    def _background(self) -> np.ndarray:
        canvas = Image.new("RGB", self.size, BACKGROUND_COLOUR)
        draw = ImageDraw.Draw(canvas)
        font = _font(self._text_size)
        caption_offset = round(self._text_size * 0.45)
        speaker, note, label = self._texts
        if self._speaker_tile is not None:
            tile = self._speaker_tile
            draw.text((tile.x, tile.y + tile.height + caption_offset), speaker, font=font, fill=TEXT_COLOUR)
        for card, caption in zip(self._reaction_tiles, self._captions, strict=True):
            tile = card[-1]
            for number, line in enumerate(caption.split("\n")):
                position = (
                    tile.x,
                    tile.y + tile.height + caption_offset + number * round(self._text_size * LINE_SPACING),
                )
                draw.text(
                    position,
                    _truncate_to_width(line, font, tile.width),
                    font=font,
                    fill=SECONDARY_TEXT_COLOUR if number else TEXT_COLOUR,
                )
        width = self.size[0]
        label_width = draw.textlength(label, font=font)
        draw.text(
            (width - self._margin - label_width, self._footer_top + caption_offset), label, font=font, fill=TEXT_COLOUR
        )
        room = width - 3 * self._margin - round(label_width)
        draw.text(
            (self._margin, self._footer_top + caption_offset),
            _truncate_to_width(note, font, room),
            font=font,
            fill=SECONDARY_TEXT_COLOUR,
        )
        return np.asarray(canvas)

    @property
    def speaker_size(self) -> tuple[int, int] | None:
        """(width, height) in pixels of the speaker's tile; frames of more are shrunk. None without a speaker."""
        return (self._speaker_tile.width, self._speaker_tile.height) if self._speaker_tile is not None else None

    def compose(self, speaker: np.ndarray | None, reactions: Sequence[Sequence[YuvPicture]]) -> YuvPicture:
        """One picture of the whole, of `size`.

        speaker: (H, W, 3) uint8 RGB; None if the grid was made without a speaker.
        reactions: for each reaction its pictures, squares, in the order of the cards.
        """
        canvas = self._canvas.copy()
        if self._speaker_tile is not None:
            assert speaker is not None, "the grid was made with a speaker"
            tile = self._speaker_tile
            self._lay(canvas, _fill(speaker, tile.width, tile.height), tile)
        for card, pictures in zip(self._reaction_tiles, reactions, strict=True):
            for tile, picture in zip(card, pictures, strict=True):
                self._lay(canvas, picture.resized(tile.width, tile.height), tile)
        return canvas

    def _lay(self, canvas: YuvPicture, picture: YuvPicture, tile: _Rectangle) -> None:
        canvas.paste(picture, tile.x, tile.y)
        canvas.round_corners((tile.x, tile.y, tile.width, tile.height), self._corners, self._ground)


def _even(length: float) -> int:
    """The nearest even whole number."""
    return 2 * round(length / 2)


def _corner_masks(radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (r, r) and, of 2 x 2 pixels, (r / 2, r / 2) float32 of the upper left corner of a rounded rectangle."""
    fine = (np.arange(radius * 4, dtype=np.float32) + 0.5) / 4 - radius
    inside = (fine[:, None] ** 2 + fine[None] ** 2 <= radius**2).astype(np.float32)
    return inside.reshape(radius, 4, radius, 4).mean((1, 3)), inside.reshape(radius // 2, 8, -1, 8).mean((1, 3))


def _fill(picture: np.ndarray, width: int, height: int) -> YuvPicture:
    """The picture (H, W, 3) uint8 RGB scaled to fill width x height; what juts out is cut off evenly on both sides."""
    source_height, source_width = picture.shape[:2]
    scale = max(width / source_width, height / source_height)
    cut_width, cut_height = min(source_width, round(width / scale)), min(source_height, round(height / scale))
    x, y = (source_width - cut_width) // 2, (source_height - cut_height) // 2
    return to_yuv420(picture[y : y + cut_height, x : x + cut_width]).resized(width, height)


def _truncate_to_width(text: str, font: ImageFont.FreeTypeFont, room: int) -> str:
    """The text, shortened with an ellipsis if it is wider than `room` pixels."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text.rstrip() + "…"

"""Choosing a face of a video: a picture with numbers and a choice, shown only where several faces were detected."""

from __future__ import annotations

import base64

import cv2
import gradio as gr
import numpy as np

from page.loading import heavy
from perfrdiff.errors import InputError

MAX_FACES = 9  # that can be chosen from
WIDTH = 640  # pixels of the picture


class FaceChooser:
    """The picture and the choice below one video; the value of `number` is None where there is no choice."""

    def __init__(self, question: str, name: str) -> None:
        """`question`: what the visitor is asked; `name`: "speaker" or "listener"."""
        self._picture = gr.HTML(visible=False, padding=False, elem_id=f"{name}-faces")
        self.number = gr.Radio(
            list(range(1, MAX_FACES + 1)), value=None, label=question, visible=False, elem_id=f"{name}-face-number"
        )
        self.components = [self._picture, self.number]

    def hide(self) -> dict:
        """Updates of the components that remove an earlier video's faces."""
        return {self._picture: gr.HTML("", visible=False), self.number: gr.Radio(value=None, visible=False)}

    def find_faces(self, file: str | None) -> dict:
        """Updates of the components for a new video. A faulty file is reported when the reactions are asked for."""
        try:
            people = heavy("perfrdiff.features.tracking.people")
            picture, faces = people.preview(file) if file else (None, [])
        except InputError:
            faces = []
        if len(faces) < 2:
            return self.hide()
        numbers = list(range(1, min(len(faces), MAX_FACES) + 1))
        return {
            self._picture: gr.HTML(_inline(picture), visible=True),
            self.number: gr.Radio(choices=numbers, value=1, visible=True),
        }


def _inline(picture: np.ndarray) -> str:
    """(H, W, 3) uint8 RGB as an <img> that needs no file, so that none is left behind."""
    height, width = picture.shape[:2]
    scale = min(1.0, WIDTH / width)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(data).decode()}" alt="The people, with their numbers">'

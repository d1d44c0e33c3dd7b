"""Who of a video is meant: a picture with numbers and a choice, shown only where several people were seen."""

import base64

import cv2
import gradio as gr

from perfrdiff.errors import InputError
from perfrdiff.features.people import preview

MOST = 9  # people that can be chosen from
WIDTH = 640  # pixels of the picture


class Chooser:
    """The picture and the choice below one video; `number` is None until somebody was to be chosen."""

    def __init__(self, question: str, name: str) -> None:
        """`question`: what the visitor is asked; `name`: of the parts on the page."""
        self._picture = gr.HTML(visible=False, padding=False, elem_id=f"{name}-people")
        self.number = gr.Radio(
            list(range(1, MOST + 1)), value=None, label=question, visible=False, elem_id=f"{name}-person"
        )
        self.parts = [self._picture, self.number]

    def hidden(self) -> dict:
        """The updates that forget an earlier video's people."""
        return {self._picture: gr.HTML("", visible=False), self.number: gr.Radio(value=None, visible=False)}

    def look(self, file: str | None) -> dict:
        """The updates for a new video. What is wrong with a file is told when the reactions are asked for."""
        try:
            picture, people = preview(file) if file else (None, [])
        except InputError:
            people = []
        if len(people) < 2:
            return self.hidden()
        numbers = list(range(1, min(len(people), MOST) + 1))
        return {
            self._picture: gr.HTML(_inline(picture), visible=True),
            self.number: gr.Radio(choices=numbers, value=1, visible=True),
        }


def _inline(picture) -> str:
    """(H, W, 3) uint8 RGB as an <img> that needs no file, so that none is left behind."""
    height, width = picture.shape[:2]
    scale = min(1.0, WIDTH / width)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(data).decode()}" alt="The people, with their numbers">'

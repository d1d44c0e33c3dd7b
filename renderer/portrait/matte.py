"""Who is in front of the background: MediaPipe's selfie segmenter, its edge drawn anew along the photo's own."""

import cv2
import numpy as np

from renderer.errors import RenderError
from renderer.portrait.framing import head_axes
from renderer.portrait.topology import OVAL
from renderer.resources import asset, read_official

MODEL = asset("segmenter/selfie_segmentation.tflite")
MODEL_SHA256 = "8d13b7fae74af625c641226813616a2117bd6bca19eb3b75574621fc08557f27"
MODEL_SIZE = 256  # pixels across that the network takes and gives

EDGE_RADIUS = 0.04  # of the face's height: the guided filter's window reaches so far; 0.06 is as good
EDGE_EPSILON = 0.01  # squared grey levels (0 … 1) of detail that do not count as an edge
BACKGROUND, PERSON = 0.08, 0.92  # of the filtered mask: no haze below, no holes above
CONNECTED = 0.2  # of the matte: what joins a person's parts; whoever is joined less is somebody else


def person_matte(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(P, P) float32, 1 on the person whose face it is and 0 on the background, and on others who do not touch.

    picture (P, P, 3) uint8 RGB, landmarks (478, 3) in its pixels. Raises RenderError without the official model file.
    """
    centre, _, _, height = head_axes(landmarks)
    matte = guided_filter(_segmented(picture), picture, max(1, round(EDGE_RADIUS * height)))
    matte = ((matte - BACKGROUND) / (PERSON - BACKGROUND)).clip(0, 1)
    # The face is the person's, whatever the network says: of line drawings it knows no more than the tracker does.
    cv2.fillConvexPoly(matte, cv2.convexHull(np.round(landmarks[OVAL, :2]).astype(np.int32)), 1.0)
    _, labels = cv2.connectedComponents((matte > CONNECTED).astype(np.uint8))
    column, row = np.clip(np.round(centre).astype(int), 0, len(matte) - 1)
    person = (labels == labels[row, column]).astype(np.uint8)
    soft_edge = np.ones((2 * round(EDGE_RADIUS * height) + 1,) * 2, np.uint8)
    return matte * cv2.dilate(person, soft_edge)


def guided_filter(mask: np.ndarray, picture: np.ndarray, radius: int) -> np.ndarray:
    """`mask` (any size) as (P, P) float32 0 … 1 whose edges follow those of `picture` (P, P, 3) uint8 RGB.

    He, Sun and Tang, Guided Image Filtering (ECCV 2010): round every pixel the mask is fitted as a straight line of the
    picture's brightness, over windows of `radius` pixels. Colour as the guide measured no better, at thrice the time.
    """
    guide = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    mask = cv2.resize(mask, guide.shape[::-1], interpolation=cv2.INTER_LINEAR)
    guide_mean, mask_mean = _mean(guide, radius), _mean(mask, radius)
    covariance = _mean(guide * mask, radius) - guide_mean * mask_mean
    slope = covariance / (_mean(guide * guide, radius) - guide_mean**2 + EDGE_EPSILON)
    offset = mask_mean - slope * guide_mean
    return (_mean(slope, radius) * guide + _mean(offset, radius)).clip(0, 1)


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    return cv2.blur(values, (2 * radius + 1, 2 * radius + 1))


def _segmented(picture: np.ndarray) -> np.ndarray:
    """(256, 256) float32 0 … 1: the network's person in `picture` (P, P, 3) uint8 RGB, other people included."""
    model = read_official(MODEL, MODEL_SHA256, "person segmenter", RenderError)
    network = cv2.dnn.readNetFromTFLite(np.frombuffer(model, np.uint8))  # 5 ms; a network is not for several threads
    small = cv2.resize(picture, (MODEL_SIZE, MODEL_SIZE), interpolation=cv2.INTER_AREA)
    network.setInput(cv2.dnn.blobFromImage(small, 1 / 255))  # (1, 3, 256, 256), RGB as it came
    return network.forward()[0, 0].copy()

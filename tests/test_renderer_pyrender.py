"""The mesh drawn by pyrender: much the same picture; where the package is missing, the CPU draws and says so."""

import sys
import warnings

import numpy as np
import pytest

from renderer.backends import CPUBackend
from renderer.face_model import COEFFICIENT_NAMES, neutral_coefficients
from renderer.mesh import MeshRenderer
from tests.support.made_up_identity import made_up_identity


@pytest.fixture(scope="module")
def rows():
    values = neutral_coefficients(2)
    values[1, COEFFICIENT_NAMES.index("jawOpen")] = 0.6
    values[1, COEFFICIENT_NAMES.index("rotationY")] = 0.3
    return values


def by_pyrender(face, mesh_style, identity):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        renderer = MeshRenderer(face, 128, mesh_style, identity, backend="pyrender")
    about = [str(one.message) for one in warned if "the CPU draws" in str(one.message)]
    if about:
        pytest.skip(about[0])
    return renderer


def test_a_textured_listener_looks_much_the_same(face, rows):
    """Other shading, same head at the same place under the same lamps."""
    identity = made_up_identity(face, hair=True)
    renderer = by_pyrender(face, "studio", identity)
    ours = MeshRenderer(face, 128, mesh_identity=identity, backend="cpu")
    for cpu_frame, frame in zip(ours.render(rows), renderer.render(rows), strict=True):
        assert frame.shape == (128, 128, 3) and frame.dtype == np.uint8
        difference = np.abs(cpu_frame.astype(int) - frame)
        assert difference.mean() < 8
        np.testing.assert_allclose(frame[:5, :5], cpu_frame[:5, :5], atol=1)  # the wall
    cut, theirs = (next(one.render_transparent(rows)) for one in (ours, renderer))
    assert np.abs(cut[..., 3].astype(int) - theirs[..., 3]).mean() < 1.5
    solid = (cut[..., 3] == 255) & (theirs[..., 3] == 255)
    assert np.abs(cut[solid].astype(int) - theirs[solid]).mean() < 15


def test_the_grey_style_is_the_same(face, rows):
    renderer = by_pyrender(face, "grey", "Alex")
    for cpu_frame, frame in zip(
        MeshRenderer(face, 128, "grey", "Alex", backend="cpu").render(rows), renderer.render(rows), strict=True
    ):
        assert np.abs(cpu_frame.astype(int) - frame).mean() < 1.5


def test_without_the_package_the_cpu_draws_and_says_so_once(face, rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyrender", None)
    with pytest.warns(UserWarning, match=r"pyrender cannot be used \(.*pyrender.*CPU draws") as warned:
        renderer = MeshRenderer(face, 64, backend="pyrender")
    assert len(warned) == 1 and isinstance(renderer._backend, CPUBackend)
    assert len(list(renderer.render(rows))) == 2

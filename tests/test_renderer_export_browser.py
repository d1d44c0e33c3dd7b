"""A moving head in a real browser: three puts every vertex where the mesh videos have it."""

import shutil

import numpy as np
import pytest

from page import web_libraries
from renderer.export.glb import glb_bytes
from renderer.export.head import head_surface, in_metres, world_vertices
from renderer.export.parts import surface_parts
from renderer.face_model import EXPRESSION_NAMES, load_face_model
from tests.support.made_up_identity import made_up_identity
from tests.support.movement import moving
from tests.support.three_viewer import ThreeViewer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
    pytest.mark.skipif(not web_libraries.are_installed(), reason="the browser libraries are not installed (make test)"),
]


@pytest.mark.slow
def test_three_draws_the_vertices_that_we_draw():
    """At three frames; units, neck and place together; a micrometre is far less than anybody sees."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is in requirements-dev.txt")
    head, rows = made_up_identity(load_face_model(), texture_size=64, hair=True), moving(40)
    surface = head_surface(head)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        viewer = ThreeViewer(browser.new_page(), glb_bytes(head, rows))
        assert viewer.about["targets"] == list(EXPRESSION_NAMES)
        assert viewer.about["clips"] == [["reaction", pytest.approx(39 / 25, abs=1e-6)]]
        for frame in (0, 17, 38):
            expected = in_metres(world_vertices(surface, rows[frame : frame + 1])[0])
            found = viewer.vertices(frame / 25)
            for part in surface_parts(surface):
                np.testing.assert_allclose(found[part.name], expected[part.vertices], atol=1e-6)
        assert np.abs(viewer.vertices(0)["face"] - viewer.vertices(17 / 25)["face"]).max() > 0.01
        browser.close()

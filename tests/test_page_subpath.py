"""The page behind a proxy that serves it below a path: nothing may be asked of the host's root, which is another's."""

import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from page.manners import Manners

PAGE = '<html><head><link rel="manifest" href="/manifest.json" /></head><body><gradio-app></gradio-app></body></html>'


@pytest.mark.parametrize("root", ["", "/listen"])
def test_every_link_is_relative_and_the_opening_words_are_there(root):
    app = Starlette(routes=[Route("/", lambda request: HTMLResponse(PAGE))], middleware=[Middleware(Manners)])
    answer = TestClient(app, root_path=root).get("/")
    links = re.findall(r'href="([^"]*)"', answer.text)
    assert links == ["./manifest.json", "./favicon.ico"], "a browser without an icon's link asks the host for one"
    assert 'id="opening"' in answer.text and int(answer.headers["content-length"]) == len(answer.content)

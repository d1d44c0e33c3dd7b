"""What axe-core finds wrong with a page, in both themes."""

import pytest

from page import web_libraries

AXE = web_libraries.folder() / "node_modules" / "axe-core" / "axe.min.js"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def check_accessible(page, where, part="document"):
    """No violation of WCAG 2.2 A and AA in either theme, in the part of the page that a JavaScript expression names."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (make test fetches it with npm)")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    was_dark = page.evaluate("document.body.classList.contains('dark')")
    for dark in (False, True):
        page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
        page.wait_for_timeout(100)
        page.wait_for_function("document.getAnimations().every((one) => !(one instanceof CSSTransition))")
        found = page.evaluate(f"(tags) => axe.run({part}, {{ runOnly: tags }})", WCAG)["violations"]
        assert [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in found] == [], (where, dark)
    page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", was_dark)

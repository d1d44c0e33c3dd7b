"""What axe-core finds wrong with a page, in both themes."""

import pytest

from page import web_libraries

AXE = web_libraries.folder() / "node_modules" / "axe-core" / "axe.min.js"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def violations(page, part="document"):
    """What violates WCAG 2.2 A and AA in the part of a page, as it is, that a JavaScript expression names."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))  # as a script tag the page's own policy would be asked
    found = page.evaluate(f"(tags) => axe.run({part}, {{ runOnly: tags }})", WCAG)["violations"]
    return [f"{one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]


def check_accessible(page, where, part="document"):
    """No violation of WCAG 2.2 A and AA in either theme, in the part of the page that a JavaScript expression names."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (make test fetches it with npm)")
    was_dark = page.evaluate("document.body.classList.contains('dark')")
    for dark in (False, True):
        page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
        page.wait_for_timeout(100)
        page.wait_for_function("document.getAnimations().every((one) => !(one instanceof CSSTransition))")
        assert violations(page, part) == [], (where, dark)
    page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", was_dark)

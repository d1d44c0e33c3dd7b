"""A formula whose source cannot be found is worthless: what is cited exists, and every link leads somewhere."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
METHOD = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
CITED = re.compile(r"docs/method\.md`?[\s#/*]+(\d+(?:\.\d+)?)(?:[\s#/*]+(?:to|and)[\s#/*]+(\d+\.\d+))?")
QUIRKS = re.compile(r"(?i)\bquirks?\s+(\d+(?:(?:,|\s+and)\s+\d+)*)")
ELSEWHERE = re.compile(
    r"\bspec section\b|\bspec [\w./-]+\.(?:md|csv)|\(spec \d|\blistener_statistics\b|\bspec's\b"
    r"|\b(?:stack|hearing|perfrdiff)\.md\b|(?<!docs/)\brenderers\.md (?:section|\d)"
)
"""Citations of texts that a cloner does not have."""
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def texts() -> list[tuple[str, str]]:
    """Name and text of every tracked or new file with words in it, this one aside."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):  # a copy without its repository
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
        names = [name for name in names if not name.startswith(".")]
    endings = (".py", ".md", ".js", ".css", ".toml", "Makefile")
    chosen = [ROOT / name for name in sorted(set(names)) if name.endswith(endings)]
    return [
        (str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        for path in chosen
        if path.is_file() and path != Path(__file__)
    ]


def headings(markdown: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", FENCED.sub("", markdown), re.MULTILINE)


def anchors(markdown: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    found: set[str] = set()
    for heading in headings(markdown):
        words = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(words if words not in found else f"{words}-{sum(one.startswith(words) for one in found)}")
    return found


def quirks() -> set[int]:
    section = METHOD.split("\n## 12 ")[1].split("\n## ")[0]
    return {int(number) for number in re.findall(r"^(\d+)\. ", section, re.MULTILINE)}


def test_every_cited_section_and_quirk_exists():
    sections = {heading.split()[0] for heading in headings(METHOD)}
    cited, lost = 0, []
    for name, text in texts():
        for match in CITED.finditer(text):
            cited += 1
            lost += [
                f"{name}: docs/method.md {number}" for number in match.groups() if number and number not in sections
            ]
        for match in QUIRKS.finditer(text):
            lost += [f"{name}: quirk {n}" for n in re.findall(r"\d+", match[1]) if int(n) not in quirks()]
    assert not lost
    assert cited > 50  # else the pattern no longer sees what it is there for


def test_sections_are_cited_by_number_within_the_method_too():
    sections = {heading.split()[0] for heading in headings(METHOD)}
    inside = re.findall(r"\((\d{1,2}\.\d{1,2})\)", FENCED.sub("", METHOD))
    assert [number for number in inside if number not in sections] == []
    assert quirks() == set(range(1, 19))


def test_nothing_cites_a_text_that_is_not_here():
    found = [f"{name}: {match[0]}" for name, text in texts() for match in ELSEWHERE.finditer(text)]
    assert not found


@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_relative_links_lead_somewhere(page):
    text = FENCED.sub("", (ROOT / page).read_text(encoding="utf-8"))
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert not broken

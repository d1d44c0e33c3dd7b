"""A visitor with a real browser: chooses files, moves the slider, presses the button, watches, downloads."""

import json
import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest

from tests.support.published_folder import reduced_tables, write_folder
from tests.support.served_page import files_in, served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run",
    "--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage",
)  # fmt: skip
DONE = ".watch[data-kind='run']:not(.pending) .cells video"
PATIENCE = 240_000  # ms for a run on two busy cores

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory, weights):
    """The page as `make run` starts it: its address, and the folder in which it keeps files."""
    with served(tmp_path_factory.mktemp("kept"), weights) as place:
        yield place


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is in requirements-dev.txt")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, server):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.foreign = []
    page.on("request", lambda request: page.foreign.append(request.url))
    page.goto(server[0])
    page.wait_for_selector("#go", timeout=60_000)
    yield page
    page.close()


def choose(page, slot, path):
    """Put a file into an input and wait until the page shows it."""
    page.set_input_files(f"{slot} input[type=file]", str(path))
    page.wait_for_selector(f"{slot} video, {slot} img", timeout=60_000)


@pytest.mark.slow
def test_from_two_files_to_videos_that_play_and_a_zip(page, server, speaker, portrait, tmp_path):
    choose(page, "#speaker", speaker)
    choose(page, "#photo", portrait)
    slider = page.locator("#samples input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowLeft")  # from 3 to 2
    assert slider.input_value() == "2"
    page.click("#go")
    page.wait_for_selector(".stages", timeout=30_000)
    page.wait_for_selector(DONE, timeout=PATIENCE)
    page.get_by_role("group", name="Show all reactions as").get_by_role("button", name="Both").click()
    assert page.get_by_role("article").evaluate_all("(all) => all.map((one) => one.ariaLabel)") == [
        "Speaker", "Reaction 1", "Reaction 2",
    ]  # fmt: skip

    page.wait_for_function(
        "[...document.querySelectorAll('.watch video')].every((v) => v.readyState >= 2 && v.videoWidth > 0)",
        timeout=60_000,
    )
    page.wait_for_function(
        "[...document.querySelectorAll('.watch video')].every((v) => v.currentTime > 0.4)", timeout=30_000
    )
    page.get_by_role("button", name="Tap for sound").click()
    films = page.evaluate(
        "[...document.querySelectorAll('.watch video')].map((v) => [v.videoWidth, v.videoHeight, v.duration, v.muted])"
    )
    assert len(films) == 5 and [film[:2] for film in films[1:]] == [[256, 256]] * 4
    assert all(length == pytest.approx(2.0, abs=0.05) for _, _, length, _ in films)
    assert [muted for *_, muted in films] == [False, True, True, True, True], "one sound, not five"
    assert page.get_by_role("link", name="Film side by side").is_visible()

    with page.expect_download(timeout=60_000) as waiting:
        page.click("#zip")
    waiting.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
    assert {"side_by_side.mp4", "reaction_2_photo.mp4", "coefficients.npz", "reaction_1.csv", "settings.json"} <= names

    address, kept = server
    assert [url for url in page.foreign if not url.startswith((address, "data:", "blob:"))] == [], "the page phones out"
    assert files_in(kept)
    page.close()
    end = time.monotonic() + 60
    while files_in(kept) and time.monotonic() < end:
        time.sleep(0.5)
    assert files_in(kept) == [], "files outlive the closed tab"


def test_bad_input_is_answered_in_one_sentence(page, speaker, tmp_path):
    from PIL import Image

    Image.new("RGB", (300, 300), (90, 120, 90)).save(tmp_path / "meadow.png")
    choose(page, "#speaker", speaker)
    choose(page, "#photo", tmp_path / "meadow.png")
    page.click("#go")
    page.wait_for_selector(".trouble", timeout=PATIENCE)
    sentence = page.inner_text(".trouble")
    assert "No face" in sentence and "meadow.png" in sentence and "Traceback" not in page.content()
    assert page.locator(".watch").get_attribute("data-kind") == "example", "what was there before stays"


@pytest.mark.slow
def test_of_several_people_the_visitor_chooses_one(page, portrait, tmp_path):
    from perfrdiff.features.media.images import read_image
    from tests.support.clips import two_people

    choose(page, "#speaker", two_people(tmp_path / "two.mp4", read_image(portrait)))
    page.wait_for_selector("#speaker-faces img", timeout=60_000)
    numbers = page.locator("#speaker-face-number label")
    assert [number.strip() for number in numbers.all_inner_texts()] == ["1", "2"]
    assert page.locator("#speaker-face-number input").first.is_checked()
    if os.environ.get("PERFRDIFF_PICTURES"):
        page.screenshot(path=Path(os.environ["PERFRDIFF_PICTURES"]) / "people.png", full_page=True)
    numbers.nth(1).click()
    choose(page, "#photo", portrait)
    page.locator("#samples input[type=range]").focus()
    page.keyboard.press("Home")
    page.locator("#views label", has_text="mesh").click()
    page.click("#go")
    page.wait_for_selector(".note", timeout=PATIENCE)
    assert "number 2 is followed, on the right" in page.inner_text(".note")
    page.click("#try-photo")
    page.wait_for_selector("#speaker-faces", state="hidden", timeout=60_000)


@pytest.mark.slow
def test_a_listeners_video_shows_how_they_listen(page, speaker, listener_video):
    choose(page, "#speaker", speaker)
    page.locator("#kind label", has_text="video").click()
    choose(page, "#listener", listener_video)
    page.locator("#samples input[type=range]").focus()
    page.keyboard.press("Home")
    page.locator("#views label", has_text="mesh").click()
    page.click("#go")
    page.wait_for_selector(".habits", timeout=PATIENCE)
    words = page.inner_text(".habits")
    assert all(name in words for name in ("Nods", "Smiles", "Blinks", "Looks away", "confidence"))
    assert page.locator("#listener-face-number").is_hidden(), "nothing is asked where there is one person"
    if os.environ.get("PERFRDIFF_PICTURES"):
        page.wait_for_selector(DONE)
        page.screenshot(path=Path(os.environ["PERFRDIFF_PICTURES"]) / "habits.png", full_page=True)


def test_a_missing_file_is_named(page):
    page.click("#go")
    page.wait_for_selector(".trouble", timeout=60_000)
    assert "speaker is missing" in page.inner_text(".trouble")


def test_a_picture_that_is_none_is_explained(page, speaker, tmp_path):
    (tmp_path / "letter.png").write_text("this is a letter")
    choose(page, "#speaker", speaker)
    page.set_input_files("#photo input[type=file]", str(tmp_path / "letter.png"))
    page.wait_for_timeout(1_500)
    page.click("#go")
    page.wait_for_selector(".trouble", timeout=PATIENCE)
    assert "letter.png" in page.inner_text(".trouble")


def test_our_examples_are_one_click_away_and_the_style_follows_the_listener(page):
    assert page.locator("#style").is_visible()
    page.click("#try-video")
    page.wait_for_selector("#speaker video", timeout=60_000)
    page.wait_for_selector("#listener video", timeout=60_000)
    page.wait_for_function(
        "document.querySelector('#style') === null || document.querySelector('#style').offsetParent === null"
    )
    page.click("#try-photo")
    page.wait_for_selector("#photo img", timeout=60_000)
    page.wait_for_selector("#style")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_a_phone_or_a_desk(chromium, server, width, scheme):
    page = chromium.new_page(viewport={"width": width, "height": 850}, color_scheme=scheme)
    page.goto(server[0])
    page.wait_for_selector("#go", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    button = page.locator("#go").bounding_box()
    assert button["width"] > 0.7 * min(width, 1160) - 60
    page.close()


@pytest.mark.slow
def test_imported_weights_can_be_chosen(chromium, tmp_path, speaker, portrait):
    """The paper's weights (made-up ones of a small size) appear beside the demo weights, and react."""
    from perfrdiff.published.weights import convert

    weights, kept = tmp_path / "weights", tmp_path / "kept"
    kept.mkdir()
    for variant in ("emotion", "render"):
        convert.import_weights(write_folder(tmp_path / variant, variant), weights, tables=reduced_tables())
    with served(kept, "paper-emotion", PERFRDIFF_CHECKPOINTS=str(weights)) as (address, _):
        page = chromium.new_page(viewport={"width": 1280, "height": 1500})
        page.goto(address)
        page.wait_for_selector("#go", timeout=60_000)
        assert "Weights: paper-emotion" in page.inner_text("#about")
        page.get_by_text("Settings", exact=True).click()
        page.click("#weights input")
        page.get_by_role("option", name="paper-render").click()
        page.wait_for_function("document.querySelector('#about').innerText.includes('Weights: paper-render')")
        choose(page, "#speaker", speaker)
        choose(page, "#photo", portrait)
        page.locator("#samples input[type=range]").focus()
        page.keyboard.press("Home")
        page.click("#go")
        page.wait_for_selector(DONE, timeout=PATIENCE)
        with page.expect_download(timeout=60_000) as waiting:
            page.click("#zip")
        waiting.value.save_as(tmp_path / "all.zip")
        if os.environ.get("PERFRDIFF_PICTURES"):
            page.screenshot(path=Path(os.environ["PERFRDIFF_PICTURES"]) / "weights.png", full_page=True)
        page.close()
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        settings = json.loads(archive.read("settings.json"))
    assert settings["weights"]["name"] == "paper-render"

"""A visitor with a real browser: chooses files, reads what was understood, runs, cancels, comes back, downloads."""

import json
import os
import shutil
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.axe import check_accessible
from tests.support.clips import write_clip
from tests.support.published_folder import reduced_tables, write_folder
from tests.support.served_page import files_in, served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run",
    "--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)  # fmt: skip
AT_WORK = (
    "{ include: [['#status'], ['#go'], ['#cancel']] }"  # what changes with a run; all of a page would take as long
)
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
    with visitor(chromium, server[0]) as page:
        yield page


NOT_OURS = (
    "AbortError", "Connection errored out",  # of Gradio, when a tab is left
    "GL Driver Message",  # of a machine without a GPU, where the heads' canvas is read back slowly
)  # fmt: skip


@contextmanager
def visitor(chromium, address, **options):
    """A page of a new visitor; nothing may be asked of another host, and nothing be said on the console."""
    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
    page = context.new_page()
    page.foreign, page.said = [], []
    page.on("request", lambda request: page.foreign.append(request.url))
    page.on("console", lambda message: page.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#go", timeout=60_000)
    page.wait_for_selector("#announcer", state="attached")
    yield page
    foreign = [url for url in page.foreign if not url.startswith((address, "data:", "blob:"))]
    said = [line for line in page.said if line.startswith(("error", "warning"))]
    context.close()
    assert foreign == [], "the page phones out"
    assert [line for line in said if not any(words in line for words in NOT_OURS)] == []


def choose(page, role, path):
    """Put a file into an input and wait until the page has understood it."""
    page.set_input_files(f"#{role} input[type=file]", str(path))
    page.wait_for_selector(f"#{role}-view .preview", timeout=60_000)


def quick(page):
    """The shortest run: one reaction, the mesh alone."""
    page.get_by_role("button", name="A quick look").click()
    page.wait_for_function("document.querySelector('#samples input[type=range]')?.value === '1'")


def picture(page, name):
    if os.environ.get("PERFRDIFF_PICTURES"):
        page.screenshot(path=Path(os.environ["PERFRDIFF_PICTURES"]) / f"{name}.png", full_page=True)


@pytest.mark.slow
def test_a_run_is_followed_found_again_and_taken_along(chromium, server, speaker, portrait, tmp_path):
    """From two files to videos, through a tab that is loaded again in the middle."""
    address, kept = server
    with visitor(chromium, address) as page:
        choose(page, "speaker", speaker)
        choose(page, "listener", portrait)
        slider = page.locator("#samples input[type=range]")
        slider.focus()
        page.keyboard.press("ArrowLeft")  # from 3 to 2
        page.wait_for_function("location.search.includes('samples=2')")
        page.click("#go")
        bar = page.locator("#status [role=progressbar]")
        bar.wait_for(timeout=60_000)
        assert page.locator("#go").is_disabled() and page.locator("#cancel").is_visible()
        assert "left" in bar.get_attribute("aria-valuetext") and int(bar.get_attribute("aria-valuenow")) < 100
        assert page.evaluate("scrollY") > 0 and bar.bounding_box()["y"] < 900, "what happens is in view"
        page.wait_for_function("document.querySelector('#announcer')?.textContent.length > 0")

        page.reload()  # a quick machine may be done before the page is back
        page.wait_for_selector("#status [role=progressbar], #status [data-state=done]", timeout=60_000)
        page.wait_for_selector("#speaker-view .preview", timeout=60_000)
        page.wait_for_selector("#listener-view .preview", timeout=60_000)
        assert page.locator("#samples input[type=range]").input_value() == "2"
        page.wait_for_selector("#status [data-state=done]", timeout=PATIENCE)
        page.wait_for_function("document.querySelector('#announcer')?.textContent === 'The reactions are ready.'")
        assert page.locator("#go").is_enabled() and page.locator("#cancel").is_hidden()
        page.wait_for_function("document.querySelectorAll('#watch video').length >= 3", timeout=60_000)

        with page.expect_download(timeout=60_000) as waiting:
            page.click("#zip")
        waiting.value.save_as(tmp_path / "all.zip")
        with zipfile.ZipFile(tmp_path / "all.zip") as archive:
            assert archive.testzip() is None
            names = set(archive.namelist())
        assert {"side_by_side.mp4", "reaction_2_photo.mp4", "coefficients.npz", "reaction_1.csv"} <= names
        assert files_in(kept)
    end = time.monotonic() + 90
    while files_in(kept) and time.monotonic() < end:
        time.sleep(0.5)
    assert files_in(kept) == [], "files outlive the closed tab"


@pytest.mark.slow
def test_the_second_visitor_waits_and_the_first_can_cancel(chromium, server, portrait):
    """A place and a time that are true; a cancelled run makes room, and the page works on."""
    with visitor(chromium, server[0]) as first, visitor(chromium, server[0]) as second:
        for page in (first, second):
            page.locator("#speaker-gallery button").first.click()
            page.locator("#listener-gallery button").first.click()
            page.wait_for_selector("#speaker-view .preview", timeout=60_000)
            page.wait_for_selector("#listener-view .preview", timeout=60_000)
        first.click("#go")
        first.wait_for_selector("#status [data-state=working]", timeout=60_000)
        second.click("#go")
        second.wait_for_selector("#status [data-state=waiting]", timeout=60_000)
        words = second.inner_text("#status")
        assert "1 run is before yours. It begins in about" in words
        picture(second, "queue")
        check_accessible(second, "queue", AT_WORK)
        first.click("#cancel")
        first.wait_for_selector("#status [data-state=cancelled]", timeout=60_000)
        second.wait_for_selector("#status [data-state=working]", timeout=60_000)
        assert first.locator("#go").is_enabled() and first.locator("#speaker-view .preview").is_visible()
        check_accessible(second, "working", AT_WORK)
        second.click("#cancel")
        second.wait_for_selector("#status [data-state=cancelled]", timeout=60_000)
        check_accessible(second, "cancelled", AT_WORK)


def test_what_is_wrong_is_said_beside_the_input_before_any_button(page, tmp_path):
    from PIL import Image

    Image.new("RGB", (300, 300), (90, 120, 90)).save(tmp_path / "meadow.png")
    (tmp_path / "letter.jpg").write_text("this is a letter")
    for name, sentence in (
        ("meadow.png", "No face was found in “meadow.png”"),
        ("letter.jpg", "neither a video nor a picture"),
    ):
        page.set_input_files("#listener input[type=file]", str(tmp_path / name))
        said = "(words) => document.querySelector('#listener-view .trouble')?.innerText.includes(words)"
        page.wait_for_function(said, arg=sentence, timeout=60_000)
        page.locator("#listener .icon-button").click()
        page.wait_for_selector("#listener-view .trouble", state="hidden")
    page.click("#go")
    page.wait_for_selector("#status .trouble", timeout=60_000)
    assert "speaker is missing" in page.inner_text("#status")


@pytest.mark.slow
def test_an_old_codec_plays_and_of_several_people_one_is_chosen(page, portrait, tmp_path):
    from perfrdiff.features.media.images import read_image
    from tests.support.clips import two_people

    two = two_people(tmp_path / "two.mp4", read_image(portrait))
    with av.open(str(two)) as clip:
        pictures = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    choose(page, "speaker", write_clip(tmp_path / "two.avi", pictures, np.arange(len(pictures)) / 25, codec="mpeg4"))
    page.wait_for_function("document.querySelector('#speaker-view video')?.readyState >= 1", timeout=60_000)
    numbers = page.locator("#speaker-face-number label")
    assert [number.strip() for number in numbers.all_inner_texts()] == ["1", "2"]
    picture(page, "people")
    numbers.nth(1).click()
    choose(page, "listener", portrait)
    quick(page)
    page.click("#go")
    page.wait_for_selector("#status .note", timeout=PATIENCE)
    assert "number 2 is followed, on the right" in page.inner_text("#status .note")


@pytest.mark.slow
def test_a_listeners_style_is_read_before_any_button(page, listener_video):
    choose(page, "listener", listener_video)
    page.wait_for_selector("#listener-habits dl", timeout=PATIENCE)
    words = page.inner_text("#listener-habits")
    assert all(name in words for name in ("Nods", "Smiles", "Blinks", "Looks away", "confidence"))
    assert page.locator("#listener-face-number").is_hidden(), "nothing is asked where there is one person"
    assert page.locator("#style input").input_value() == "As in the video"
    page.locator("#listener-gallery button").first.click()
    page.wait_for_selector("#listener-view img.preview", timeout=60_000)
    page.wait_for_function("document.querySelector('#style input').value !== 'As in the video'")


@pytest.mark.slow
def test_what_the_webcam_records_is_read_like_a_file(page):
    """Without an ffmpeg on this machine, and with a length; Chromium's own test picture has no face."""
    page.click("#speaker-record")
    page.click("#speaker-webcam button")
    record = page.get_by_role("button", name="start recording")
    record.wait_for(timeout=60_000)
    page.wait_for_function("document.querySelector('#speaker-webcam video')?.readyState >= 2", timeout=60_000)
    record.click()
    page.wait_for_timeout(3_000)
    record.click()
    page.wait_for_selector("#speaker-view .facts", timeout=150_000)
    page.wait_for_selector("#speaker-view .trouble", timeout=90_000)  # every square of the pictures is searched
    assert "No face was found" in page.inner_text("#speaker-view")
    assert page.locator("#speaker-webcam").is_hidden()


def test_settings_are_in_the_address_and_in_lines_to_copy(page, server):
    page.get_by_role("button", name="As in the paper").click()
    page.wait_for_function("location.search.includes('mesh_style=grey')")
    query = page.evaluate("location.search")
    page.get_by_text("The same at the shell").click()
    line = page.locator("#as-shell textarea")
    page.wait_for_function("document.querySelector('#as-shell textarea')?.value.includes('--mesh-style grey')")
    assert "--steps 50" in line.input_value() and "--no-label" in line.input_value()
    page.goto(server[0] + query)
    page.wait_for_selector("#go")
    page.get_by_text("More settings").click()
    page.wait_for_function("document.querySelector('#mesh_style input:checked')?.value === 'grey'")
    page.get_by_role("button", name="Reset all").click()
    page.wait_for_function("location.search === ''")
    seed = page.locator("#seed input")
    page.click("#dice")
    page.wait_for_function("Number(document.querySelector('#seed input').value) > 0")
    assert f"seed={seed.input_value()}" in page.evaluate("location.search") or seed.input_value()


def test_every_answer_keeps_to_this_host_and_the_first_words_come_at_once(page, server):
    from urllib.request import urlopen

    with urlopen(server[0]) as answer:
        policy, text = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert policy.startswith("default-src 'self'") and "http" not in policy
    assert "How would they react?" in text and 'id="opening"' in text
    assert page.locator("#opening").count() == 0, "the words before the page are gone when it is there"
    assert page.evaluate("performance.getEntriesByName('first-contentful-paint').length") == 1


def test_the_page_is_light_and_three_comes_only_when_a_head_is_drawn(page):
    """Who opens the page on a phone pays for the page, not for a renderer that they may never use."""
    page.wait_for_selector(".watch[data-kind='example'] .cells video")
    loaded = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".filter((one) => one.initiatorType !== 'video').map((one) => [one.name, one.encodedBodySize])"
    )
    assert 300_000 < sum(size for _, size in loaded) < 3_000_000
    assert not [name for name, _ in loaded if "three" in name]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(chromium, server, width, scheme):
    """No violation of WCAG A and AA, empty and with everything open; nothing sticks out."""
    with visitor(chromium, server[0], viewport={"width": width, "height": 844}, color_scheme=scheme) as page:
        page.locator("#speaker-gallery button").first.click()
        page.wait_for_selector("#speaker-view video", timeout=60_000)
        page.get_by_text("Another listener, to mix in").click()
        page.get_by_text("More settings").click()
        page.get_by_text("The same at the shell").click()
        page.click("#go")
        page.wait_for_selector("#status .trouble")
        check_accessible(page, "everything open")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        picture(page, f"open_{width}_{scheme}")


@pytest.mark.slow
def test_a_dead_server_says_so(chromium, tmp_path, weights):
    (kept := tmp_path / "kept").mkdir()
    page = chromium.new_page()
    with served(kept, weights) as (address, _):
        page.goto(address)
        page.wait_for_selector("#go", timeout=60_000)
        page.wait_for_selector("#gone", state="attached", timeout=60_000)  # what asks the server is there
    page.wait_for_selector("#gone:not([hidden])", timeout=15_000)
    assert "does not answer any more" in page.inner_text("#gone")
    picture(page, "gone")
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
        page.get_by_text("More settings", exact=True).click()
        page.click("#weights input")
        page.get_by_role("option", name="paper-render").click()
        page.wait_for_function("document.querySelector('#about').innerText.includes('Weights: paper-render')")
        choose(page, "speaker", speaker)
        choose(page, "listener", portrait)
        page.locator("#samples input[type=range]").focus()
        page.keyboard.press("Home")
        page.click("#go")
        page.wait_for_selector("#status [data-state=done]", timeout=PATIENCE)
        page.wait_for_function("document.querySelectorAll('#watch video').length >= 2", timeout=60_000)
        with page.expect_download(timeout=60_000) as waiting:
            page.click("#zip")
        waiting.value.save_as(tmp_path / "all.zip")
        if os.environ.get("PERFRDIFF_PICTURES"):
            page.screenshot(path=Path(os.environ["PERFRDIFF_PICTURES"]) / "weights.png", full_page=True)
        page.close()
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        settings = json.loads(archive.read("settings.json"))
    assert settings["weights"]["name"] == "paper-render"

"""The players in a real browser: in step, by mouse and keyboard, on a phone, with and without heads."""

import contextlib
import json
import shutil

import numpy as np
import pytest

from page import web_libraries
from page.watch import SHOWCASE
from page.watch_data import write_watch_files
from perfrdiff.coefficients import WIDTH, neutral
from perfrdiff.features.clip import Speaker
from perfrdiff.features.media.input import open_input
from renderer.export.head import METRES_PER_UNIT, TO_FILE_AXES
from renderer.face_model import EXPRESSIONS, REACT_TRANSLATION, rotation_matrix
from renderer.posing import shoulder_translations
from renderer.resources import asset
from tests.support.axe import check_accessible
from tests.support.watch_page import served_widget

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--no-sandbox", "--disable-background-networking", "--autoplay-policy=document-user-activation-required")
GRAPHICS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # WebGL without a GPU
COUNT, FEW = 10, 3
STEP = 0.04  # seconds from the clock within which videos are to be; one may be twice as far, beside other tests
PATIENCE = 40  # seconds in which a busy machine has to bring them there, and hold them for 1.5

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of ten reactions, each as mesh and photo: those of the showcase, several times; and one of three."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "few").mkdir()
    stored = np.fromfile(SHOWCASE / "coefficients.i16", "<i2").astype(np.float32)
    about = json.loads((SHOWCASE / "watch.json").read_text())
    reactions = stored.reshape(-1, about["frames"], WIDTH) * about["coefficients"]["scale"]
    many = reactions[np.arange(COUNT) % len(reactions)]
    with open_input(asset("examples/speaker.mp4")) as file:
        heard = file.audio()
    still = np.tile(neutral(), (about["frames"], 1))
    speaker = Speaker(np.zeros((len(still), 78)), still, np.zeros((len(still), 25)), heard)
    write_watch_files(folder, many, speaker, style="Warm", head="Alex")
    write_watch_files(folder / "few", many[:FEW], speaker, style="Warm", head="Alex")
    videos = {
        str(number): {
            view: f"assets/showcase/reaction_{(number - 1) % len(reactions) + 1}_{view}.mp4"
            for view in ("mesh", "photo")
        }
        for number in range(1, COUNT + 1)
    }
    value = {
        "id": "a", "kind": "run", "title": "The reactions", "note": "", "data": "run/watch.json", "start": 0,
        "speaker": "assets/examples/speaker.mp4", "videos": videos, "pending": False, "film": None,
        "web": web_libraries.base_address() if web_libraries.are_installed() else None,
    }  # fmt: skip
    return folder, value


@pytest.fixture(scope="module")
def driver():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is in requirements-dev.txt")
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(driver):
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, "--disable-gpu"])
    yield browser
    browser.close()


@pytest.fixture
def open_page(chromium, run):
    """A function that opens the widget with `value`, changed by keywords; afterwards its console has to be empty."""
    with contextlib.ExitStack() as opened:

        def open_(browser=chromium, changes=None, count=FEW, **options):
            data = "run/few/watch.json" if count == FEW else "run/watch.json"
            changes = {"data": data} | (changes or {})
            options = {"viewport": {"width": 1280, "height": 900}} | options
            context = browser.new_context(**options)
            opened.callback(context.close)
            page = context.new_page()
            page.complaints = []
            page.on("console", lambda message: page.complaints.append(message.text) if message.type != "log" else None)
            page.on("pageerror", lambda error: page.complaints.append(str(error)))
            page.goto(opened.enter_context(served_widget(run[0], run[1] | changes)))
            page.wait_for_selector(".cells .marks", timeout=60_000)
            pages.append(page)
            return page

        pages = []
        yield open_
        assert [page.complaints for page in pages] == [[]] * len(pages), "the console of a visitor is not empty"


def drawn_rows(folder):
    """The coefficients (K, T, 58) that the browser has."""
    about = json.loads((folder / "watch.json").read_text())["coefficients"]
    return np.fromfile(folder / about["file"], "<i2").reshape(about["shape"]) * about["scale"]


def plays(page):
    page.wait_for_function("widget.transport.playing && widget.transport.now() > 0.3", timeout=30_000)


def test_twenty_one_videos_play_muted_and_in_step_and_stay_so_after_a_jump_a_loop_and_another_speed(open_page):
    page = open_page(count=COUNT)
    page.get_by_role("group", name="Show all reactions as").get_by_role("button", name="Both").click()
    plays(page)
    assert page.locator(".watch video").count() == 2 * COUNT + 1
    assert page.evaluate("[...document.querySelectorAll('video')].every((video) => video.muted)"), "no sound unasked"
    in_step = """async ([count, step, patience]) => {
        let lasts = [];
        const end = performance.now() + 1000 * patience;
        while (performance.now() < end && lasts.length < 30) {
            await new Promise((done) => setTimeout(done, 50));
            const found = widget.transport.drifts().map((one) => one.time);
            const [latest, ...others] = found.map(Math.abs).sort((a, b) => b - a);
            if (found.length === count && latest < 2 * step && others[0] < step) lasts.push(latest);
            else [lasts, window.missed] = [[], [...(window.missed ?? []), found].slice(-5)];
        }
        return lasts.length;
    }"""
    for change in ("0", "widget.transport.seek(1)", "widget.transport.seek(7.5)", "widget.transport.setRate(0.5)"):
        page.evaluate(change)
        seen = page.evaluate(in_step, [2 * COUNT + 1, STEP, PATIENCE])
        assert seen == 30, f"after {change}: not 1.5 s in step; at last {page.evaluate('window.missed')}"


FAKE_VIDEOS = """async ([costs, pace, late, wait]) => {
    class FakeVideo extends EventTarget {
        constructor(cost) {
            super();
            Object.assign(this, { paused: true, readyState: 4, at: 0, since: 0, rate: 1, cost });
        }
        get currentTime() {
            return this.at + (this.paused ? 0 : pace * this.rate * (performance.now() - this.since) / 1000);
        }
        set currentTime(at) { [this.at, this.since] = [at, performance.now()]; }
        get playbackRate() { return this.rate; }
        set playbackRate(rate) {
            this.currentTime = this.currentTime - this.cost;
            this.rate = rate;
        }
        async play() { this.currentTime = this.at; this.paused = false; }
        pause() { this.currentTime = this.currentTime; this.paused = true; }
    }
    const transport = new widget.transport.constructor();
    transport.reset(60);
    const videos = costs.map((cost) => new FakeVideo(cost));
    for (const video of videos) transport.follow(video);
    await transport.play();
    await new Promise((done) => setTimeout(done, 500));
    videos.at(-1).currentTime -= late;
    await new Promise((done) => setTimeout(done, 1000 * wait));
    let worst = 0;
    for (let i = 0; i < 30; i++) {
        await new Promise((done) => setTimeout(done, 50));
        worst = Math.max(worst, ...transport.drifts().map((one) => Math.abs(one.time)));
    }
    transport.pause();
    return worst;
}"""
"""The largest drift in 1.5 s of made-up videos: `costs`, seconds that each loses with every change of speed; `pace`, by
which they are slower than they say; `late`, seconds that the last one falls back once; then `wait` seconds."""


def test_where_the_machine_is_too_busy_for_all_videos_the_clock_goes_with_them(open_page):
    worst = open_page().evaluate(FAKE_VIDEOS, [[0, 0, 0, 0], 0.7, 0, 1.5])
    assert worst < 0.12, "a clock that runs at its own speed is .25 s off before it seeks"


def test_a_video_that_loses_time_with_each_change_of_speed_is_put_right_all_the_same(open_page):
    """On one busy machine the speaker stayed 42 ms late for as long as one waited."""
    assert open_page().evaluate(FAKE_VIDEOS, [[0, 0, 0, 0.06], 1, 0.05, 8]) < STEP


def test_keys_and_clicks_do_what_they_say(open_page):
    page = open_page()
    plays(page)
    page.keyboard.press("Space")
    page.wait_for_function("!widget.transport.playing")
    assert page.get_by_role("button", name="Play", exact=True).is_visible()
    page.wait_for_function("[...document.querySelectorAll('video')].every((video) => video.paused)")
    page.evaluate("widget.transport.seek(2)")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("widget.transport.now()") == pytest.approx(3)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("widget.transport.now()") == pytest.approx(1)
    page.wait_for_function(
        "[...document.querySelectorAll('video')].every((video) => Math.abs(video.currentTime - 1) < .03)"
    )

    before = page.locator(".cell[data-number='2'] .stage").bounding_box()["width"]
    page.keyboard.press("2")
    assert page.locator(".cell[data-number='2'] .stage").bounding_box()["width"] > 1.8 * before
    page.keyboard.press("Escape")
    page.locator(".cell[data-number='3'] .stage").click()
    assert page.locator(".large").get_attribute("data-number") == "3"
    page.get_by_role("button", name="Back to all reactions").click()
    assert page.locator(".large").count() == 0

    page.keyboard.press("]")
    event = page.locator(".said").inner_text()
    assert event.startswith("Reaction ") and ("Nod, " in event or "Smile, " in event)
    page.get_by_role("button", name="Tap for sound").click()
    sounding = page.evaluate(
        "[...document.querySelectorAll('video')].filter((one) => !one.muted).map((one) => one.ariaLabel)"
    )
    assert sounding == ["The speaker"], "one sound, not four"
    page.get_by_role("button", name="Loop").click()
    page.evaluate("widget.transport.seek(8); widget.transport.play()")
    page.wait_for_function("!widget.transport.playing && widget.transport.now() === widget.transport.duration")


def test_one_cell_is_shown_otherwise_than_the_others(open_page):
    page = open_page()
    page.get_by_role("group", name="Show reaction 2 as").get_by_role("button", name="Both").click()
    assert page.locator(".cell[data-number='2'] video").count() == 2
    assert page.locator(".cell[data-number='1'] video").count() == 1


def test_pointing_at_a_mark_names_it_and_a_click_jumps_to_it(open_page):
    page = open_page(reduced_motion="reduce")
    event = page.evaluate("widget.cells[0].events.find((one) => one.cue)")
    lane = page.locator(".cell[data-number='1'] .marks")
    x = event["start"] / page.evaluate("widget.transport.duration") * lane.bounding_box()["width"]
    lane.hover(position={"x": x, "y": 10})
    tip = page.locator(".cell[data-number='1'] .tip")
    assert tip.inner_text().endswith(event["words"]) and (" after " in event["words"] or " before " in event["words"])
    lane.click(position={"x": x, "y": 10})
    assert page.evaluate("widget.transport.now()") == pytest.approx(event["start"] - 0.15, abs=0.01)


def test_nothing_plays_by_itself_where_people_asked_for_stillness(open_page):
    page = open_page(reduced_motion="reduce")
    page.wait_for_timeout(1_000)
    assert not page.evaluate("widget.transport.playing")


def test_heads_are_seen_first_and_give_way_to_the_videos(driver, open_page, run):
    if run[1]["web"] is None:
        pytest.skip("the browser libraries are not installed (perfrdiff web-libraries)")
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *GRAPHICS])
    try:
        few = run[1] | {"data": "run/few/watch.json"}
        page = open_page(browser, {"videos": {}, "pending": True, "id": "b"}, viewport={"width": 800, "height": 600})
        page.wait_for_function("widget.heads?.ready", timeout=120_000)
        assert page.evaluate("widget.cells.map((cell) => cell.view)") == ["head"] * FEW
        assert page.locator(".cells video").count() == 0 and page.locator("canvas.heads").count() == 1
        page.evaluate("widget.transport.pause(); widget.transport.seek(1)")
        drawn = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
            const head = document.querySelector('canvas.heads');
            const copy = Object.assign(document.createElement('canvas'), { width: 64, height: 64 });
            widget.heads.drawn = 0;
            widget.heads.draw(widget.transport.now());
            copy.getContext('2d').drawImage(head, 0, 0, 64, 64);
            done([...copy.getContext('2d').getImageData(0, 0, 64, 64).data].filter((_, at) => at % 4 === 3));
        })))"""
        seen = np.array(page.evaluate(drawn))
        assert 0.1 < (seen > 128).mean() < 0.9, "heads before an empty ground"
        pose = page.evaluate(
            """() => {
            const { joints, meshes, scene } = widget.heads;
            widget.heads._pose(1, 2);
            scene.updateMatrixWorld(true);
            return { head: joints.head.matrixWorld.elements, shoulders: joints.shoulders.position.toArray(),
                     weights: [...meshes[0].morphTargetInfluences] };
        }"""
        )
        row = drawn_rows(run[0] / "few")[1, 50]
        matrix = np.array(pose["head"]).reshape(4, 4).T
        turned = rotation_matrix(row[-6:-3]) * TO_FILE_AXES
        np.testing.assert_allclose(matrix[:3, :3], turned, atol=1e-4)
        np.testing.assert_allclose(matrix[:3, 3], (row[-3:] - REACT_TRANSLATION) * METRES_PER_UNIT, atol=1e-5)
        stay = (shoulder_translations(row[None])[0] - REACT_TRANSLATION) * METRES_PER_UNIT
        np.testing.assert_allclose(pose["shoulders"], stay, atol=1e-5)
        np.testing.assert_allclose(pose["weights"], row[:EXPRESSIONS], atol=1e-4)
        page.locator(".cell[data-number='1'] .head").focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        assert page.evaluate("widget.heads.turn.yaw") == pytest.approx(0.5)
        assert np.abs(np.array(page.evaluate(drawn)) - seen).mean() > 1, "arrows turn the heads"
        one = {"1": run[1]["videos"]["1"]}
        page.evaluate("(value) => give(value)", few | {"id": "b", "videos": one, "pending": True})
        page.wait_for_function("widget.cells[0].view === 'photo'")
        assert page.evaluate("widget.cells[1].view") == "head", "the videos come one by one"
        page.evaluate("(value) => give(value)", few | {"id": "b"})
        page.wait_for_function("widget.cells.every((cell) => cell.view === 'photo')")
        page.complaints = [one for one in page.complaints if "GPU stall" not in one]  # of reading the canvas back here
    finally:
        browser.close()


def test_without_webgl_there_are_the_videos_and_one_line(driver, open_page):
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, "--disable-gpu", "--disable-3d-apis"])
    try:
        page = open_page(browser)
        plays(page)
        assert "WebGL" in page.locator(".lack").inner_text()
        assert page.get_by_role("button", name="3D").count() == 0
    finally:
        browser.close()


def test_without_the_libraries_there_are_the_videos_marks_and_the_card(open_page):
    page = open_page(changes={"web": None})
    plays(page)
    assert page.locator(".lack").is_visible() and page.locator(".uplot").count() == 0
    assert page.get_by_role("columnheader", name="Reaction 3").count() == 1


def test_curves_lie_on_one_axis_with_the_speaker_and_can_be_taken_along(open_page, run):
    if run[1]["web"] is None:
        pytest.skip("the browser libraries are not installed (perfrdiff web-libraries)")
    page = open_page(reduced_motion="reduce")
    page.locator(".explain").scroll_into_view_if_needed()
    page.wait_for_selector(".uplot", timeout=30_000)
    assert page.locator(".uplot").count() == FEW
    page.evaluate("widget.transport.seek(4)")
    heads = page.evaluate(
        "[...document.querySelectorAll('.explain .playhead')].map((one) => one.getBoundingClientRect().x)"
    )
    plots = page.evaluate(
        "widget.explanation.plots.map(({ plot }) => plot.over.getBoundingClientRect().x + plot.valToPos(4, 'x'))"
    )
    assert np.ptp(heads) < 0.5 and np.abs(np.array(plots) - heads[0]).max() < 2, "the playhead is where the curves are"
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save as SVG").click()
    svg = waiting.value.path().read_text()
    assert svg.count("<polyline") == 4 * FEW and "the end of a phrase" in svg
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save as PNG").click()
    assert waiting.value.path().read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_axe_finds_nothing_wrong_in_light_and_in_dark(open_page):
    page = open_page(reduced_motion="reduce")
    page.locator(".explain").scroll_into_view_if_needed()
    page.wait_for_selector(".uplot", timeout=30_000)
    check_accessible(page, "a run", "'.watch'")
    page.locator(".cells .cell").nth(1).locator(".enlarge").click(force=True)
    page.wait_for_selector(".row.faded")  # the curves of the others
    check_accessible(page, "enlarged", "'.watch'")


def test_on_a_phone_one_swipes_and_the_bar_stays(open_page):
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    cells = page.locator(".cells")
    assert cells.evaluate("(one) => one.scrollWidth > 2 * one.clientWidth")
    cells.evaluate("(one) => one.scrollBy(330, 0)")
    page.wait_for_timeout(600)
    middles = page.evaluate(
        "[...document.querySelectorAll('.cells .cell')].map((one) => one.getBoundingClientRect())"
        ".map((box) => box.x + box.width / 2)"
    )
    assert min(abs(middle - 195) for middle in middles) < 12, "a cell snaps to the middle"
    bar = page.locator(".bar-row")
    for place in (0, 300):
        page.evaluate(f"scrollTo(0, {place})")
        assert bar.bounding_box()["y"] + bar.bounding_box()["height"] <= 844
    sizes = page.evaluate(
        "[...document.querySelectorAll('.watch button, .watch select')].map((one) => one.getBoundingClientRect())"
        ".filter((box) => box.width)"
    )
    assert min(min(box["width"], box["height"]) for box in sizes) >= 24

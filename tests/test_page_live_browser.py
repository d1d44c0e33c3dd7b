"""The tab Live in a real browser whose camera and microphone are a film of the project's own speaker."""

import json
import time
from contextlib import suppress

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from page.web_libraries import are_installed
from renderer.resources import asset
from tests.support.camera_film import CHROMIUM, FAKE_DEVICES, QUIET, camera_files
from tests.support.served_page import served

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
    pytest.mark.skipif(not are_installed(), reason="no browser libraries (make web, or perfrdiff web-libraries)"),
]
FIGURES = "document.querySelector('#live .live').widget.figures()"
STATE = "document.querySelector('#live .live').widget.state"
SAID = "document.querySelector('#live .said').textContent"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("kept"), "demo", OMP_NUM_THREADS="1") as place:
        yield place[0]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is in requirements-dev.txt")
    film = camera_files(asset("examples/speaker.mp4"), tmp_path_factory.mktemp("film"), seconds=4, long_side=256)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *FAKE_DEVICES, *film])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, server):
    page = chromium.new_page(viewport={"width": 900, "height": 700})
    page.requested, page.errors = [], []
    page.on("request", lambda request: page.requested.append(request.url))
    page.on("websocket", lambda socket: page.requested.append(socket.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on(
        "console", lambda words: page.errors.append(f"{words.text} {words.location}") if words.type == "error" else 0
    )
    page.goto(server)
    page.get_by_role("tab", name="Live").click(timeout=60_000)
    page.wait_for_selector("#live .go", timeout=60_000)
    yield page
    if not page.is_closed():
        page.close()


def answer(server, **wishes):
    """What the server says to one more session; the open socket, too."""
    socket = connect(server.replace("http", "ws") + "live")
    with suppress(ConnectionClosed):  # a full server has closed by now; what it said is still to be read
        socket.send(json.dumps({"type": "start"} | wishes))
    return json.loads(socket.recv(timeout=60)), socket


def test_somebody_talks_and_the_listener_reacts(page, server, capsys):
    """Camera and microphone in, heads out; nothing leaves for another host; a closed tab frees its place."""
    page.evaluate("""() => {
        window.asked = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"));
    }""")
    page.click("#live .go")
    page.wait_for_function(f"() => {SAID}.includes('was not allowed')", timeout=20_000)
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = window.asked; }")

    page.select_option("#live .extras select", "2")
    page.click("#live .go")
    page.wait_for_function(f"() => {STATE} !== 'opening'", timeout=120_000)
    page.wait_for_function(f"() => {STATE} === 'idle' || {FIGURES}.shown >= 25", timeout=60_000)
    if "too busy" in page.evaluate(SAID):
        pytest.skip("this machine is too busy for anything in real time")
    assert page.evaluate(STATE) == "running", page.evaluate(SAID)
    figures = page.evaluate(FIGURES)
    shown = page.evaluate("[...document.querySelector('#live .live').widget.playback.picture]")
    assert len(shown) == 2 * 58 and np.isfinite(shown).all()
    assert figures["pictures"] > 3 and figures["took"], "no face was followed"
    delay = float(np.median(figures["delays"])) / 1000
    with capsys.disabled():
        print(f"\n  live: delay median {delay:.2f} s, {figures['shown']} frames shown, {figures['skipped']} left out")
    assert 0.2 < delay < 20, "a listener who answers before the server can, or a backlog"
    heard = page.evaluate("[...document.querySelector('#live .live').widget.strip.speaker.values()]")
    assert max(loudness for _, loudness in heard) > -2, "the microphone is not heard"

    page.click("#live button:has-text('Mute')")
    page.evaluate("""() => document.querySelector('#live .live').widget.setListener(
        {...document.querySelector('#live .live').widget.listener, id: "Warm", name: "Warm"})""")
    before = page.evaluate(FIGURES)["frames"]
    page.wait_for_function(f"() => {STATE} === 'idle' || {FIGURES}.frames > {before + 10}", timeout=60_000)
    if "too busy" in page.evaluate(SAID):
        pytest.skip("this machine is too busy for anything in real time")
    assert page.evaluate(STATE) == "running"

    second, socket = answer(server)
    third, refused = answer(server)
    assert second["type"] == "ready" and third["sentence"].startswith("All 2 live places are taken")
    requested, errors = page.requested, page.errors
    page.close()
    end = time.monotonic() + 10
    fourth = {"type": "end"}
    while fourth["type"] == "end" and time.monotonic() < end:
        fourth, freed = answer(server)
        freed.close()
        time.sleep(0.1)
    assert fourth["type"] == "ready", "a closed tab keeps its place"
    socket.close()
    refused.close()
    here = (server, server.replace("http", "ws"), "data:", "blob:")
    assert [address for address in requested if not address.startswith(here)] == [], "the page phones out"
    assert errors == []


def test_every_fault_has_a_sentence_and_a_way_on(page):
    """No microphone, a tab in the background, a network that breaks; then the last minute becomes a run."""
    page.evaluate("""() => {
        const asked = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = (wanted) =>
            wanted.audio ? Promise.reject(new DOMException("none", "NotFoundError")) : asked(wanted);
    }""")
    page.click("#live .go")
    page.wait_for_function(f"() => {STATE} === 'running' && {SAID}.includes('no microphone')", timeout=120_000)
    page.evaluate("""() => {
        for (const hidden of [true, false]) {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }
    }""")
    assert "background" in page.evaluate(SAID)
    page.evaluate("document.querySelector('#live .live').widget.socket.socket.close()")
    page.wait_for_function(f"() => {SAID}.includes('Trying again')", timeout=10_000)
    page.wait_for_function(f"() => {STATE} === 'running'", timeout=60_000)
    page.wait_for_function(f"() => {STATE} === 'idle' || {FIGURES}.shown >= 30", timeout=60_000)
    if "too busy" in page.evaluate(SAID):
        pytest.skip("this machine is too busy for anything in real time")

    page.click("#live .keep")
    page.wait_for_selector("#status [data-state], #live-state .trouble", state="attached", timeout=60_000)
    assert page.query_selector("#live-state .trouble") is None, page.inner_text("#live-state")
    assert page.evaluate(STATE) == "paused"
    assert page.get_by_role("tab", name="Films").get_attribute("aria-selected") == "true"
    page.wait_for_selector("#status [data-state=done]", state="attached", timeout=120_000)
    assert "No picture of the camera was kept" in page.inner_text("#status")
    assert page.errors == []


def test_what_runs_in_the_browser_keeps_up_or_leaves_out(page):
    """A slow network loses faces before sound; the player never goes back, and a gap leaves no backlog behind."""
    result = page.evaluate(SLOW_NETWORK)
    assert result["sent"] == ["face", "sound", "sound"] and result["dropped"] == 1
    assert result["lost"], "ten seconds of sound that wait are a network that is gone"

    result = page.evaluate(PLAYER)
    assert result["wentBack"] == 0 and result["before"] == pytest.approx(0.47, abs=0.06)
    assert result["after"] < 0.7, "after a gap of 3 s the delay stays"

    result = page.evaluate(CLOCK)
    assert result["heldUp"] == {"start": 20, "lost": 0}, "sound that is late is no sound that is lost"
    assert result["lost"] == {"start": 3020, "lost": 3000}, "after a loss the listener stays behind by it"

    tone, hiss = page.evaluate(RESAMPLED)
    assert tone["length"] % 640 == 0 and tone["length"] > 14_000
    assert tone["level"] == pytest.approx(0.5 / np.sqrt(2), rel=0.01) and tone["crossings"] == pytest.approx(
        2000, abs=4
    )
    assert hiss["level"] < 0.002, "what 16 kHz cannot hold comes back as another tone"


MODULES = """
  const about = document.querySelector("#live .live").widget.here("");
  const load = (name) => import(about.replace(/[^/]*$/, "") + name);
"""
SLOW_NETWORK = (
    "async () => {"
    + MODULES
    + """
  const { LiveSocket } = await load("live_socket.js");
  const sent = [];
  let lost = false;
  const real = window.WebSocket;
  window.WebSocket = Object.assign(function () {
    this.readyState = 1; this.bufferedAmount = 0; this.close = () => {};
    this.send = (message) => sent.push(message[0] === 1 ? "sound" : "face");
  }, { OPEN: 1 });
  const live = new LiveSocket("live", {}, { ready() {}, lost() { lost = true; } });
  window.WebSocket = real;
  live.isReady = true;
  live.sendFace(new Uint8Array(16));
  live.sendSound(new Int16Array(640));
  live.socket.bufferedAmount = 50_000;
  live.sendFace(new Uint8Array(16));
  live.sendSound(new Int16Array(640));
  live.socket.bufferedAmount = 400_000;
  live.sendSound(new Int16Array(640));
  return { sent, dropped: live.droppedFaces, lost };
}"""
)
PLAYER = (
    "async () => {"
    + MODULES
    + """
  const { Playback, quantile } = await load("live_playback.js");
  const clock = { start: 0, when: (seconds) => 1000 * seconds };
  const play = new Playback(clock, (frame) => 40 * frame + 20);
  let [sent, at, wentBack, before] = [0, 0, 0, 0];
  for (let now = 0; now < 20_000; now += 16) {
    const isGap = now > 8000 && now < 11_000;
    while (!isGap && 40 * sent + 440 <= now) { // tokens of five frames
      play.push(sent, 1, 5, new Float32Array(5 * 58), now);
      sent += 5;
    }
    play.draw(now);
    if (play.at < at) wentBack += 1;
    at = play.at ?? 0;
    if (now === 8000) before = quantile(play.delays.slice(-50), 0.5) / 1000;
  }
  return { wentBack, before, after: quantile(play.delays.slice(-50), 0.5) / 1000 };
}"""
)
CLOCK = (
    "async () => {"
    + MODULES
    + """
  const { Clock } = await load("live_clock.js");
  const run = (isLost) => {
    const clock = new Clock();
    let heldUp = 0;
    for (let now = 40; now <= 20_000; now += 40) {
      if (now > 8000 && now <= 11_000) heldUp += isLost ? 0 : 1;
      else for (heldUp += 1; heldUp; heldUp -= 1) clock.heard(640, now + 20);
    }
    return { start: Math.round(clock.start), lost: Math.round(clock.lost) };
  };
  return { heldUp: run(false), lost: run(true) };
}"""
)
RESAMPLED = (
    "async () => {"
    + MODULES
    + """
  const through = async (frequency, rate) => {
    const context = new OfflineAudioContext(1, rate, rate);
    await context.audioWorklet.addModule(about.replace(/[^/]*$/, "") + "live_audio.js");
    const tone = new OscillatorNode(context, { frequency });
    const node = new AudioWorkletNode(context, "blocks", { numberOfOutputs: 0 });
    const samples = [];
    node.port.onmessage = ({ data }) => samples.push(...data);
    tone.connect(new GainNode(context, { gain: 0.5 })).connect(node);
    tone.start();
    await context.startRendering();
    await new Promise((done) => setTimeout(done, 300));
    const inner = samples.slice(500, samples.length - 500).map((sample) => sample / 32767);
    const level = Math.sqrt(inner.reduce((sum, value) => sum + value * value, 0) / inner.length);
    const turns = inner.filter((value, index) => index && value >= 0 !== inner[index - 1] >= 0).length;
    return { length: samples.length, level, crossings: (turns * 16_000) / inner.length };
  };
  return [await through(1000, 44_100), await through(11_000, 48_000)];
}"""
)

// The tab Live: camera and microphone, or a film, go to the server as they happen; a listener's reactions come back and
// are drawn. What it is given: page/live_tab.py. The parts: capture, socket, playback, heads, strip, panel.

import { openDevices, Capture } from "./live_capture.js";
import { Clock } from "./live_clock.js";
import { LiveHeads } from "./live_heads.js";
import { LivePhotos } from "./live_photos.js";
import { Panel, SERVER_TRACKS } from "./live_panel.js";
import { Playback, quantile } from "./live_playback.js";
import { LiveSocket } from "./live_socket.js";
import { Strip } from "./live_strip.js";
import { canDraw } from "./heads.js";

const FRAMES = 25;
const FIGURES = 500; // ms between two looks at the figures
const STRIP = 100; // ms between two drawings of the strip
const RETRIES = [1000, 2000, 4000, 8000]; // ms to the next try when the network is gone
const WITHOUT_HEADS = "This browser cannot draw heads (it has no WebGL), so a live session would show nothing.";
const HIDDEN = "The tab was in the background: browsers stop the camera's pictures there, so the listener only heard you.";
const GONE = "The connection to the server is gone. Trying again …";
const GIVEN_UP = "The server cannot be reached. Start again when the network is back.";
const EXAMPLE = "example"; // page/live_tab.py
const [SENDING, KEEPING] = [
  "Your film goes to the server, so that it can be put beside the reactions …",
  "The last minute is being made into films; see the tab Films. This session is paused until you go on.",
];
const LISTENING = "You are live. The listener hears and sees you.";

// What Gradio's js_on_load calls.
// keep(what): asks for the last minute as a run; upload(file): brings a film to the server, and gives its {path} there.
export function mount(element, props, keep, upload) {
  const widget = new Live(element.querySelector(".live"), JSON.parse(props.value), { keep, upload });
  widget.root.widget = widget;
  return widget;
}

class Live {
  // about: {web, model, socket, scripts, example, names, listener}
  constructor(root, about, server) {
    this.root = root;
    this.about = about;
    this.server = server;
    this.here = (name) => new URL(name, import.meta.url).href;
    this.state = "idle";
    this.listener = about.listener;
    this.panel = new Panel(root, {
      start: () => this._begin(async (capture) => this._openCamera(capture)),
      film: (file) => this._playFilm(URL.createObjectURL(file), file),
      example: () => this._playFilm(new URL(about.example, document.baseURI).href, EXAMPLE),
      keep: () => this._keep(),
      pause: () => this._togglePause(),
      stop: () => this.stop(),
      mute: () => this._toggleMute(),
      samples: (count) => this._lay(count),
      show: () => this._lay(Number(this.panel.samples.value)),
    });
    this.strip = new Strip(this.panel.strip, about.names);
    this.rate = { drawn: 0, looked: 0, since: performance.now(), shown: 0 };
    this._lay(1);
    this._show();
    addEventListener("pagehide", () => {
      this.stop();
      this._let(null);
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.state === "running" && this.capture.hasCamera && !this.capture.isFilm) this.panel.say(HIDDEN);
    });
    const loop = (now) => {
      this._draw(now);
      requestAnimationFrame(loop);
    };
    requestAnimationFrame(loop);
  }

  // Another listener, {id, name, head}; a running session goes on with them.
  setListener(listener) {
    const isOtherHead = listener.head !== this.listener.head || listener.photo !== this.listener.photo;
    this.listener = listener;
    if (isOtherHead) this._lay(Number(this.panel.samples.value));
    this.socket?.tell({ type: "listener", listener: listener.id });
    if (this.state === "running") this.panel.say(`Now ${listener.name} listens.`);
  }

  stop() {
    clearTimeout(this.retry);
    const { socket } = this;
    const shown = this._shown();
    this.socket = null;
    if (socket?.isReady && !socket.isOver) {
      socket.stop();
      this._let({ socket, ...shown });
    } else socket?.close();
    this._end("");
  }

  // What was seen last, of a session that is over and whose socket the server still holds, or null.
  _let(held) {
    if (this.held && this.held.socket !== held?.socket) this.held.socket.close();
    this.held = held;
    held?.socket.socket.addEventListener("close", () => {
      if (this.held !== held) return;
      this.held = null;
      this._show();
    });
  }

  // Which session this is, the last frame that was shown, and where in which film it began.
  _shown() {
    const { socket, playback, capture } = this;
    return { session: socket?.key, until: Math.floor(playback?.at ?? 0), film: capture?.source ?? null, film_start: capture?.filmStart ?? 0 };
  }

  async _keep() {
    if (this.state === "running") this._togglePause();
    const { session, until, film, film_start } = this.held ?? this._shown();
    let path = film;
    try {
      if (film instanceof Blob) {
        this.panel.say(SENDING);
        path = (await this.server.upload(film)).path;
      }
    } catch (error) {
      return this.panel.say(`The film could not be sent (${error.message ?? error}).`, true);
    }
    this.panel.say(KEEPING);
    this.server.keep({ session, until, film: path, film_start });
  }

  // What was measured since the session began.
  figures() {
    const { playback, capture, socket } = this;
    if (!playback || !capture || !socket) return null;
    return {
      delays: playback.delays, shown: playback.shownFrames, skipped: playback.skipped, held: playback.held,
      photos: this.photos?.came ?? 0, wanted: playback.wanted, frames: playback.newest + 1, drawn: this.rate.drawn, looked: this.rate.looked, fps: this.rate.shown,
      pictures: capture.pictures, left: capture.left, took: capture.took, dropped: socket.droppedFaces, sent: socket.sent,
      seconds: capture.clock.seconds(performance.now()), lost: capture.clock.lost,
    };
  }

  // source: the file, or EXAMPLE
  _playFilm(address, source) {
    return this._begin(async (capture) => {
      capture.source = source;
      await capture.openFilm(address, this.here("live_audio.js"));
      capture.video.onended = () => this.stop();
      return "";
    });
  }

  async _openCamera(capture) {
    const { stream, lack } = await openDevices();
    await capture.openStream(stream, this.here("live_audio.js"));
    return lack;
  }

  // open: makes the capture ready, and gives the sentence on what is missing.
  async _begin(open) {
    if (this.state !== "idle") return;
    if (!this.photos && (!canDraw() || !this.about.web)) return this.panel.say(WITHOUT_HEADS, true);
    this._let(null);
    this._set("opening");
    this.panel.say("Opening …");
    const capture = (this.capture = new Capture(this.panel.video, new Clock(), {
      sound: (samples) => this.socket?.sendSound(samples),
      face: (message) => this.socket?.sendFace(message),
      picture: (jpeg, seconds) => this.socket?.sendPicture(jpeg, seconds),
    }));
    try {
      this.lack = await open(capture);
      if (capture.hasCamera && this.panel.serverTracks) capture.letServerTrack();
      else if (capture.hasCamera) {
        this.panel.say("Loading the face tracker (5 MB, once) …");
        await this._track(capture);
      }
    } catch (error) {
      if (this.capture === capture) this._end(error.message, true);
      else capture.close();
      return;
    }
    if (this.capture !== capture) return capture.close();
    this.isMuted = false;
    this._connect();
  }

  async _track(capture) {
    const absolute = (path) => new URL(path, document.baseURI).href;
    try {
      await capture.track(this.here("live_worker.js"), absolute(this.about.web), absolute(this.about.model));
    } catch (error) {
      capture.hasCamera = false;
      if (!capture.hasSound) throw new Error(`${error.message}. Choose “${SERVER_TRACKS}” to be seen all the same.`);
      this.lack = `${error.message}, so the listener only hears you. Stop, and choose “${SERVER_TRACKS}” to be seen.`;
    }
  }

  _connect(tried = 0) {
    const { capture } = this;
    const wishes = {
      listener: this.listener.id, samples: Number(this.panel.samples.value), seed: Number(this.panel.seed.value) || 0,
      camera: capture.hasCamera, microphone: capture.hasSound,
      track: capture.canvas ? "server" : "browser", show: this.photos ? "photo" : "head",
    };
    this.panel.say("Waiting for the server …");
    const lost = () => {
      capture.pause();
      if (socket.isReady) tried = 0;
      if (tried >= RETRIES.length) return this._end(GIVEN_UP, true);
      this._set("opening");
      this.panel.say(GONE, true);
      this.retry = setTimeout(() => this._connect(tried + 1), RETRIES[tried]);
    };
    const whileOpen = (act) => (...given) => socket === this.socket && act(...given);
    const socket = (this.socket = new LiveSocket(this.about.socket, wishes, {
      ready: whileOpen(() => this._run()),
      reactions: whileOpen((first, samples, count, rows) => {
        this.playback.push(first, samples, count, rows);
        this.strip.reacted(first, samples, count, rows);
      }),
      photo: whileOpen((sample, frame, jpeg) => this.photos?.push(sample, frame, jpeg)),
      heard: whileOpen((first, columns, count, rows) => this.strip.heard(first, columns, count, rows)),
      end: whileOpen((sentence) => this._end(sentence, true)),
      lost: whileOpen(lost),
    }));
  }

  async _run() {
    const { capture } = this;
    const clock = (capture.clock = new Clock());
    capture.forget();
    this.playback = new Playback(clock, (frame) => capture.captured.get(frame) ?? clock.when((frame + 0.5) / FRAMES));
    clock.onLost = () => this.playback.clockJumped();
    this.strip.clear();
    this.photos?.clear();
    this.rate = { drawn: 0, looked: 0, since: performance.now(), shown: 0 };
    await capture.start();
    this._set("running");
    this.panel.say(this.lack || (capture.isFilm ? "The film plays as if it were live." : LISTENING));
  }

  _togglePause() {
    if (this.state === "running") {
      this.capture.pause();
      this._set("paused");
    } else if (this.state === "paused") {
      this.playback.paused();
      this.capture.start();
      this._set("running");
    }
  }

  _toggleMute() {
    this.isMuted = this.capture.isMuted = !this.isMuted;
    this._show();
  }

  _end(sentence, isTrouble = false) {
    this.capture?.close();
    this.capture = null;
    this._set("idle");
    this.panel.say(sentence, isTrouble);
  }

  _set(state) {
    this.state = state;
    this._show();
  }

  _show() {
    this.panel.offerPhoto(Boolean(this.listener.photo), this.state !== "idle");
    this.panel.showState(this.state, {
      isFilm: this.capture?.isFilm, hasCamera: this.capture?.hasCamera, isMuted: this.isMuted, canKeep: Boolean(this.held || this.socket?.isReady),
    });
  }

  _lay(count) {
    this.heads?.close();
    this.photos?.close();
    this.panel.offerPhoto(Boolean(this.listener.photo), this.state !== "idle");
    this.panel.lay(count);
    this.cells = this.panel.cells;
    this.canvas = this.panel.canvas;
    this.photos = this.panel.showsPhoto ? new LivePhotos(this.cells) : null;
    this.heads = !this.photos && this.about.web && canDraw() ? new LiveHeads(this, this.about.web, this.listener.head) : null;
  }

  headsFailed(error) {
    this.heads = null;
    this.panel.say(`The head could not be loaded (${error.message}). Reload the page to try again.`, true);
  }

  _draw() {
    if (!this.root.offsetParent) return; // another tab of the page is shown
    const now = performance.now();
    const isRunning = this.state === "running";
    const numbers = isRunning ? this.playback.draw(now) : null;
    const drawn = this.photos ? isRunning && this.photos.show(this.playback.at ?? -1) : this.heads?.show(numbers);
    if (!isRunning) return;
    this.rate.drawn += drawn ? 1 : 0;
    this.rate.looked += 1;
    if (now - (this.stripDrawn ?? 0) > STRIP) {
      this.stripDrawn = now;
      this.strip.draw(this.capture.clock.seconds(now) * FRAMES, this.playback.at ?? 0);
    }
    if (now - (this.figured ?? 0) > FIGURES) this._figure(now);
  }

  _figure(now) {
    const { rate, playback, capture } = this;
    const passed = now - (this.figured ?? rate.since);
    rate.shown = (1000 * (rate.drawn - (rate.before ?? 0))) / passed;
    [rate.before, this.figured] = [rate.drawn, now];
    const recent = playback.delays.slice(-FRAMES * 30);
    if (!recent.length) return;
    const words = (ms) => `${(ms / 1000).toFixed(2)} s`;
    const tracked = capture.took.length ? `, your ${capture.canvas ? "picture packed" : "face followed"} in ${Math.round(quantile(capture.took, 0.5))} ms` : "";
    this.panel.figures.textContent =
      `From your movement to the frame that can answer it: ${words(quantile(recent, 0.5))}, in 95 of 100 frames at most ` +
      `${words(quantile(recent, 0.95))}. ${Math.round(rate.shown)} pictures a second${tracked}.`;
    const behind = capture.hasSound ? "" : "camera only";
    this.panel.badge.textContent = capture.isFilm ? "film, as if live" : behind || (this.isMuted ? "muted" : "live");
  }
}

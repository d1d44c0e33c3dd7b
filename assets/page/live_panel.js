// What a visitor sees of a live session: themselves, the heads, the buttons, the last 20 seconds, the figures.

import { icon, make } from "./dom.js";

const PRIVACY =
  "No picture of the camera leaves this browser: your face is followed here, and 478 points, 52 expressions and the pose " +
  "of your head go to this server, with the sound. The last minute is remembered until you leave, and kept only if you say so.";
const PRIVACY_ON_THE_SERVER =
  "The pictures of the camera go to this server, as you chose, and the sound: it follows your face there and forgets each " +
  "picture at once. The last minute of numbers and sound is remembered until you leave, and kept only if you say so.";
const BROWSER_TRACKS = "Track in this browser";
export const SERVER_TRACKS = "Track on the server";
const MOST_HEADS = 4;

export class Panel {
  // acts: {start, film, example, pause, stop, mute, keep, samples, show}
  constructor(root, acts) {
    this.root = root;
    const button = (name, words, onclick, shape, attributes = {}) =>
      make("button", { type: "button", class: name, onclick, ...attributes }, shape ? icon(shape) : null, make("span", {}, words));
    this.start = button("go", "Start camera and microphone", acts.start);
    this.example = button("plain", "Play our speaker as if live", acts.example);
    this.file = make("input", { type: "file", accept: "video/*", class: "file", "aria-label": "A film to play as if it were live" });
    this.file.addEventListener("change", () => {
      if (this.file.files[0]) acts.film(this.file.files[0]);
      this.file.value = "";
    });
    this.film = make("label", { class: "plain" }, make("span", {}, "Play a film as if live"), this.file);
    this.pause = button("plain", "Pause", acts.pause, "pause", { hidden: true });
    this.stop = button("plain", "Stop", acts.stop, null, { hidden: true });
    this.mute = button("plain", "Mute", acts.mute, "sound", { hidden: true, "aria-pressed": "false" });
    this.keep = button("plain keep", "Keep the last minute", acts.keep, null, {
      hidden: true, title: "As films, curves and files, in the tab Films. Of you there will be a drawn head: no picture of your camera is kept.",
    });
    this.samples = make(
      "select",
      { "aria-label": "Reactions" },
      ...Array.from({ length: MOST_HEADS }, (_, index) =>
        make("option", { value: index + 1 }, index ? `${index + 1} reactions at a time` : "1 reaction"),
      ),
    );
    this.samples.addEventListener("change", () => acts.samples(Number(this.samples.value)));
    this.shown = make(
      "select",
      { class: "shown", "aria-label": "How the listener is shown" },
      ...["Head in 3D", "Photo, moved by the server"].map((words, index) => make("option", { value: index }, words)),
    );
    this.shown.addEventListener("change", () => acts.show());
    this.tracking = make(
      "select",
      { class: "tracking", "aria-label": "Where your face is followed" },
      ...[BROWSER_TRACKS, SERVER_TRACKS].map((words, index) => make("option", { value: index }, words)),
    );
    this.tracking.addEventListener("change", () => this._sayWhere());
    this.seed = make("input", { type: "number", min: 0, max: 2 ** 31 - 1, step: 1, value: 0, "aria-label": "Seed" });
    this.video = make("video", { playsinline: true, class: "own", "aria-label": "The speaker" });
    this.empty = make("p", { class: "empty" }, "Here you see yourself. Nobody else does.");
    this.badge = make("p", { class: "badge", hidden: true });
    this.grid = make("div", { class: "cells" });
    this._newCanvas();
    this.players = make(
      "div",
      { class: "players" },
      make("div", { class: "cell speaker" }, make("div", { class: "stage" }, this.video, this.empty, this.badge)),
      this.grid,
      this.canvas,
    );
    this.said = make("p", { class: "said", role: "status" });
    this.strip = make("canvas", { class: "strip", role: "img", "aria-label": "The last 20 seconds: loudness and phrases of the speaker, nods and smiles of the listener" });
    this.key = make("p", { class: "key" }, make("i", { class: "nod" }), "nod", make("i", { class: "smile" }), "smile", make("i", { class: "phrase" }), "somebody speaks");
    this.figures = make("p", { class: "figures" });
    this.privacy = make("p", { class: "note-line", "aria-live": "polite" });
    this._sayWhere();
    root.replaceChildren(
      make("header", {}, make("div", {}, make("h2", {}, "Talk, and somebody listens"), this.privacy)),
      make("div", { class: "bar-row" }, this.start, this.example, this.film, this.pause, this.stop, this.mute, this.keep, make("div", { class: "extras" }, this.samples, this.shown, this.tracking, make("label", { class: "seed" }, "Seed", this.seed))),
      this.said,
      this.players,
      this.strip,
      this.key,
      this.figures,
    );
    root.setAttribute("role", "region");
    root.setAttribute("aria-label", "Live");
  }

  // Places for so many heads, on a canvas that was not drawn on.
  lay(count) {
    this.cells = Array.from({ length: count }, (_, index) => {
      const head = make("div", { class: "head" });
      const stage = make("div", { class: "stage" }, head);
      return { number: index + 1, view: "head", head, stage };
    });
    const columns = count === 1 ? 1 : 2;
    this.players.style.setProperty("--columns", columns);
    this.players.dataset.count = count;
    this.grid.replaceChildren(...this.cells.map(({ stage }) => make("div", { class: "cell" }, stage)));
    const old = this.canvas;
    this._newCanvas();
    old.replaceWith(this.canvas);
  }

  say(words, isTrouble = false) {
    this.said.textContent = words;
    this.said.classList.toggle("bad", isTrouble);
  }

  // state: "idle", "opening", "running" or "paused"
  showState(state, { isFilm, isMuted, hasCamera, canKeep }) {
    const isOpen = state !== "idle";
    for (const one of [this.start, this.example, this.film]) one.hidden = isOpen;
    this.stop.hidden = !isOpen;
    this.keep.hidden = !canKeep || state === "opening";
    for (const one of [this.pause, this.mute]) one.hidden = state !== "running" && state !== "paused";
    for (const one of [this.samples, this.seed, this.tracking]) one.disabled = isOpen;
    this.pause.replaceChildren(icon(state === "paused" ? "play" : "pause"), make("span", {}, state === "paused" ? "Go on" : "Pause"));
    this.mute.setAttribute("aria-pressed", String(Boolean(isMuted)));
    this.mute.replaceChildren(icon(isMuted ? "silent" : "sound"), make("span", {}, isMuted ? "Muted" : "Mute"));
    this.root.dataset.state = state;
    this.video.classList.toggle("mirrored", !isFilm);
    this.video.hidden = !isOpen || !hasCamera;
    this.empty.hidden = isOpen && Boolean(hasCamera);
    this.empty.textContent = isOpen && state !== "opening" ? "There is no camera." : "Here you see yourself. Nobody else does.";
    this.badge.hidden = state !== "running";
  }

  // A listener without a photo is a head.
  offerPhoto(isThere, isOpen) {
    if (!isThere) this.shown.value = "0";
    this.shown.disabled = !isThere || isOpen;
  }

  get showsPhoto() {
    return this.shown.value === "1";
  }

  get serverTracks() {
    return this.tracking.value === "1";
  }

  _sayWhere() {
    this.privacy.textContent = this.serverTracks ? PRIVACY_ON_THE_SERVER : PRIVACY;
  }

  _newCanvas() {
    this.canvas = make("canvas", { class: "heads", "aria-hidden": "true" });
  }
}

// The widget that plays a run: speaker and reactions in step, marks, curves. What it is given: page/watch.py.

import { ReactionCell, SpeakerCell } from "./cells.js";
import { clockWords, colour, icon, make, prefersStillness, sized } from "./dom.js";
import { Explanation } from "./explain.js";
import { act } from "./keys.js";
import { Transport } from "./transport.js";

const SPEEDS = [0.25, 0.5, 0.75, 1, 1.5, 2];
const NARROW = 700; // pixels, as in watch.css: there one swipes from reaction to reaction
const WITHOUT_HEADS = "Heads that can be turned need WebGL and the program's browser libraries; here videos are shown.";

// What Gradio's js_on_load calls: `watch` tells of new values, `again` asks for the example to be run live.
export function mount(element, props, watch, again) {
  const widget = new Watch(element.querySelector(".watch"), again);
  widget.root.widget = widget;
  const show = () => widget.show(JSON.parse(props.value || "{}"));
  watch("value", show);
  show();
  return widget;
}

const COMPARISONS = "#compare button"; // of the page, elsewhere

function toComparisons() {
  const first = document.querySelector(COMPARISONS);
  first.scrollIntoView({ block: "center", behavior: prefersStillness() ? "auto" : "smooth" });
  first.focus({ preventScroll: true });
}

class Watch {
  constructor(root, again) {
    this.root = root;
    this.transport = new Transport();
    this.view = "photo";
    this.muted = true;
    this.cells = [];
    this.value = {};
    this._build(again);
    this.transport.addEventListener("change", () => this._showState());
    this.transport.addEventListener("seek", () => this._tick());
    root.addEventListener("silenced", () => this.setMuted(true));
    document.addEventListener("keydown", (event) => act(this, event));
    let timer = 0;
    const redraw = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this._draw(), 60);
    };
    new ResizeObserver(redraw).observe(root);
    new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    const loop = () => {
      if (this.transport.playing) this._tick();
      this.heads?.draw(this.transport.now());
      requestAnimationFrame(loop);
    };
    requestAnimationFrame(loop);
  }

  // One after the other: the videos of a run may be there before its players are.
  show(value) {
    this.showing = (this.showing ?? Promise.resolve()).then(() => this._show(value)).catch((error) => this.fail(error));
    return this.showing;
  }

  async _show(value) {
    const isNew = value.id !== this.value.id;
    this.value = value;
    this.root.hidden = !value.kind;
    if (!value.kind) return this.transport.pause();
    this.root.dataset.kind = value.kind;
    this.root.classList.toggle("pending", value.pending);
    this.title.textContent = value.title;
    this.note.textContent = value.note;
    this.again.hidden = value.kind !== "example";
    this.compare.hidden = value.kind !== "run" || !document.querySelector(COMPARISONS);
    this.film.hidden = !value.film;
    if (value.film) this.film.href = new URL(value.film, document.baseURI).href;
    if (isNew) {
      this.earlier.hidden = true;
      await this._open(value);
    }
    for (const cell of this.cells) cell.offer(value.videos[cell.number] ?? {}, Boolean(this.heads));
    this._showState();
    this._draw();
    if (isNew && value.kind === "run") {
      this.root.scrollIntoView({ block: "start", behavior: prefersStillness() ? "auto" : "smooth" });
    }
    if (isNew && !prefersStillness()) this.transport.play();
  }

  // The results stay when inputs change; this says that they belong to the earlier ones.
  inputsChanged() {
    if (this.value.kind === "run") this.earlier.hidden = false;
  }

  fail(error) {
    this.root.hidden = false;
    this.note.textContent = `The reactions could not be loaded (${error.message}). Reload the page to try again.`;
  }

  setMuted(muted) {
    this.muted = muted;
    const sounding = this._sounding();
    for (const cell of [this.speaker, ...this.cells]) {
      for (const video of cell?.videos.values() ?? []) video.muted = muted || video !== sounding;
    }
    this._showState();
  }

  setView(view) {
    this.view = view;
    for (const cell of this.cells) {
      cell.wanted = null;
      cell.choose(view);
    }
    this._showState();
  }

  enlarge(number) {
    const isLarge = this.players.dataset.large === String(number);
    for (const cell of this.cells) cell.setLarge(!isLarge && cell.number === number);
    if (isLarge) delete this.players.dataset.large;
    else this.players.dataset.large = number;
    this.explanation?.emphasise(isLarge ? null : number);
    if (innerWidth <= NARROW) this.cells[number - 1].element.scrollIntoView({ block: "nearest", inline: "center" });
    this._draw();
  }

  // Jumps to the next event, or the one before, of the enlarged reaction, or of all; blinks are too many to be told.
  jump(direction) {
    const large = this.players.dataset.large;
    const now = this.transport.now();
    const found = this.cells
      .filter((cell) => !large || cell.number === Number(large))
      .flatMap((cell) => cell.events.filter((event) => event.kind !== "blink").map((event) => [event, cell]))
      .filter(([event]) => (direction > 0 ? event.start > now + 0.2 : event.start < now - 0.4))
      .sort(([a], [b]) => direction * (a.start - b.start));
    if (!found.length) return;
    const [event, cell] = found[0];
    this.transport.seek(Math.max(0, event.start - 0.15));
    this.said.textContent = `${cell.name}: ${event.words}`;
  }

  showedView() {
    this.setMuted(this.muted);
  }

  async _open(value) {
    this.transport.reset(0);
    for (const cell of [this.speaker, ...this.cells]) cell?.close();
    this.explanation?.close();
    this.explanation = null;
    this.heads?.close();
    this.heads = null;
    delete this.players.dataset.large;
    const answer = await fetch(new URL(value.data, document.baseURI));
    if (!answer.ok) throw new Error(`error ${answer.status}`);
    const about = (this.about = await answer.json());
    this.transport.reset(about.seconds);
    this.speaker = new SpeakerCell(this, value.speaker, value.start ?? 0);
    this.speaker.phrases = about.speaker.phrases;
    this.cells = about.reactions.map((reaction) => {
      const cell = new ReactionCell(this, reaction);
      cell.describe(reaction);
      return cell;
    });
    const count = this.cells.length;
    this.players.style.setProperty("--columns", count === 1 ? 1 : count === 2 || count === 4 ? 2 : count <= 6 ? 3 : 4);
    this.root.classList.toggle("compared", Boolean(about.reactions[0].words));
    this.grid.replaceChildren(...this.cells.map((cell) => cell.element));
    this.players.replaceChildren(this.speaker.element, this.grid, this.canvas);
    this.seeker.max = about.seconds;
    await this._prepareHeads(value, about);
    this.explanation = new Explanation(this, about, value.web);
    this.more.replaceChildren(value.kind === "example" ? this._folded() : this.explanation.element);
  }

  // Under the example, which everybody meets, the inputs are nearer without it.
  _folded() {
    return make(
      "details",
      { class: "fold", ontoggle: () => this.explanation.draw() },
      make("summary", {}, "What they do, and when: curves, every nod and smile, and what each answers"),
      this.explanation.element,
    );
  }

  async _prepareHeads(value, about) {
    this.heads?.close();
    this.heads = null;
    this.lack.hidden = true;
    if (!about.head) return;
    const { canDraw, Heads } = await import("./heads.js");
    if (!value.web || !canDraw()) {
      this.lack.hidden = false;
      return;
    }
    this.canvas.replaceWith((this.canvas = this._canvas())); // the context of an earlier one is lost for good
    this.heads = new Heads(this, value, about);
  }

  headsFailed() {
    this.heads = null;
    this.canvas.hidden = true;
    this.lack.hidden = false;
    for (const cell of this.cells) cell.offer(cell.files, false);
    this._showState();
  }

  _sounding() {
    return this.speaker?.sounding ?? this.cells[0]?.videos.values().next().value ?? null;
  }

  _build(again) {
    const button = (name, label, onclick, shape) =>
      make("button", { type: "button", class: name, "aria-label": label, title: label, onclick }, icon(shape));
    this.title = make("h2");
    this.note = make("p", { class: "note-line" });
    this.again = make("button", { type: "button", class: "again", onclick: again, hidden: true }, "Make it again, live");
    this.compare = make("button", { type: "button", class: "plain", onclick: toComparisons, hidden: true }, "Compare listeners");
    this.film = make("a", { class: "film", download: "side_by_side.mp4", hidden: true }, "Film side by side");
    this.earlier = make(
      "p",
      { class: "earlier", role: "status", hidden: true },
      "These reactions belong to the inputs that you had before.",
    );
    this.lack = make("p", { class: "lack", hidden: true }, WITHOUT_HEADS);
    this.grid = make("div", { class: "cells" });
    this.canvas = this._canvas();
    this.players = make("div", { class: "players" }, this.grid, this.canvas);
    this.play = button("play", "Play", () => this.transport.toggle(), "play");
    this.wave = make("canvas", { class: "wave", "aria-hidden": "true" });
    this.seeker = make("input", {
      type: "range", min: 0, max: 1, step: 0.04, value: 0, "aria-label": "Position",
      oninput: () => this.transport.seek(Number(this.seeker.value)),
    });
    this.time = make("span", { class: "time" });
    this.speed = make(
      "select",
      { "aria-label": "Speed", onchange: () => this.transport.setRate(Number(this.speed.value)) },
      ...SPEEDS.map((one) => make("option", { value: one, selected: one === 1 }, `${one}×`)),
    );
    this.loop = button("toggle", "Loop", () => this._toggleLoop(), "loop");
    this.sound = button("toggle", "Sound", () => this.setMuted(!this.muted), "silent");
    this.words = button("toggle", "Captions", () => this._toggleCaptions(), "words");
    this.views = make(
      "div",
      { class: "views all", role: "group", "aria-label": "Show all reactions as" },
      ...Object.entries({ photo: "Photo", mesh: "Mesh", both: "Both", head: "3D" }).map(([view, words]) =>
        make("button", { type: "button", "data-view": view, onclick: () => this.setView(view) }, words),
      ),
    );
    this.said = make("p", { class: "said", role: "status" });
    this.bar = make(
      "div",
      { class: "bar-row", role: "group", "aria-label": "Playback of all videos" },
      this.play,
      make("div", { class: "seek" }, this.wave, this.seeker),
      this.time,
      make(
        "div",
        { class: "extras" },
        button("toggle jump", "Previous nod or smile", () => this.jump(-1), "before"),
        button("toggle jump", "Next nod or smile", () => this.jump(1), "after"),
        this.speed, this.loop, this.sound, this.words, this.views,
      ),
    );
    this.more = make("div", { class: "more" });
    this.root.replaceChildren(
      make("header", {}, make("div", {}, this.title, this.note), make("div", { class: "acts" }, this.compare, this.film, this.again)),
      this.earlier, this.players, this.bar, this.said, this.lack, this.more,
    );
    this.root.setAttribute("role", "region");
    this.root.setAttribute("aria-label", "Speaker and reactions");
    this.root.hidden = true;
    this.root.classList.add("captions");
  }

  _canvas() {
    return make("canvas", { class: "heads", "aria-hidden": "true" });
  }

  _toggleLoop() {
    this.transport.loop = !this.transport.loop;
    this._showState();
  }

  _toggleCaptions() {
    this.root.classList.toggle("captions");
    this._showState();
  }

  _showState() {
    const { playing, loop } = this.transport;
    this.play.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.play.title = playing ? "Pause (space)" : "Play (space)";
    this.play.replaceChildren(icon(playing ? "pause" : "play"));
    this.root.classList.toggle("playing", playing);
    this.loop.setAttribute("aria-pressed", String(loop));
    this.sound.setAttribute("aria-pressed", String(!this.muted));
    this.sound.replaceChildren(icon(this.muted ? "silent" : "sound"));
    this.words.setAttribute("aria-pressed", String(this.root.classList.contains("captions")));
    const offered = new Set(this.cells.flatMap((cell) => cell.offered ?? []));
    for (const one of this.views.children) {
      one.hidden = !offered.has(one.dataset.view);
      one.setAttribute("aria-pressed", String(this.cells.length > 0 && this.cells.every((cell) => cell.view === one.dataset.view)));
    }
    this.views.hidden = offered.size < 2;
    if (this.speaker) this.speaker.unmute.hidden = !this.muted;
    this._tick();
  }

  _tick() {
    const seconds = Math.min(this.transport.now(), this.transport.duration);
    if (document.activeElement !== this.seeker || this.transport.playing) this.seeker.value = seconds;
    this.seeker.setAttribute("aria-valuetext", clockWords(seconds));
    this.time.textContent = `${clockWords(seconds)} / ${clockWords(this.transport.duration)}`;
    this.speaker?.show(seconds);
    for (const cell of this.cells) cell.show(seconds);
    this.explanation?.show(seconds);
  }

  _draw() {
    if (!this.about) return;
    const { context, width, height } = sized(this.wave);
    const { loudness, phrases } = this.about.speaker;
    const scale = width / this.about.seconds;
    context.fillStyle = colour(this.wave, "--watch-phrase");
    for (const [start, end] of phrases) context.fillRect(start * scale, 0, (end - start) * scale, height);
    context.fillStyle = colour(this.wave, "--watch-loud");
    const step = Math.max(1, Math.round((2.5 * loudness.length) / Math.max(width, 1)));
    for (let first = 0; first < loudness.length; first += step) {
      const loud = Math.max(...loudness.slice(first, first + step));
      const tall = Math.max(1, (loud ** 2) * (height - 6));
      context.fillRect((first * width) / loudness.length, (height - tall) / 2, 1.5, tall);
    }
    for (const cell of this.cells) cell.marks?.draw();
    this.explanation?.draw();
    this._tick();
  }
}

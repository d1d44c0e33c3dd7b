// What the reactions do, and when: their curves under the speaker's loudness and phrases, their marks, the style card.

import { clockWords, colour, make, nameOf, sized } from "./dom.js";
import { drawing, scales, toPng } from "./drawing.js";
import { Marks } from "./marks.js";

const LEFT = 46; // pixels for the axis on the left, and in the same way below
const RIGHT = 40;
const HEIGHT = 132;
const AT_FIRST = ["smile", "brows", "nod", "gaze"];

export class Explanation {
  constructor(watch, about, web) {
    this.watch = watch;
    this.about = about;
    this.web = web;
    this.shown = new Set(AT_FIRST);
    this.plots = [];
    this.scales = scales(about, this.shown);
    this.element = make("section", { class: "explain", "aria-label": "What the reactions do" });
    if (web) this._buildCurves();
    this._buildCard();
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      this._load();
    }, { rootMargin: "200px" });
    this.observer = observer;
    if (web) observer.observe(this.rows);
  }

  close() {
    this.closed = true;
    this.observer.disconnect();
    for (const { plot } of this.plots) plot?.destroy();
  }

  show(seconds) {
    const x = this._place(seconds);
    for (const row of this.plots) {
      row.marks.show(seconds);
      row.playhead.style.transform = `translateX(${x}px)`;
    }
    if (this.head) this.head.style.transform = `translateX(${x}px)`;
  }

  draw() {
    if (!this.web || !this.rows.clientWidth) return;
    this._drawSpeaker();
    for (const row of this.plots) row.marks.draw();
    const width = this.rows.clientWidth;
    const isDark = document.body.classList.contains("dark");
    if (!this.uPlot || (width === this.width && isDark === this.isDark)) return;
    [this.width, this.isDark] = [width, isDark];
    this._plot();
  }

  emphasise(number) {
    for (const row of this.plots) row.element.classList.toggle("faded", number !== null && row.number !== number);
  }

  _place(seconds) {
    return LEFT + (seconds / this.about.seconds) * Math.max(0, this.rows?.clientWidth - LEFT - RIGHT);
  }

  _buildCurves() {
    const key = make(
      "p",
      { class: "key" },
      make("i", { class: "dot nod" }), "nod", make("i", { class: "dot smile" }), "smile",
      make("i", { class: "dot blink" }), "blink", make("span", {}, "filled: it answers something the speaker did"),
    );
    const chips = make(
      "div",
      { class: "chips", role: "group", "aria-label": "Curves" },
      ...this.about.curves.map(({ name, label }) => {
        const chip = make(
          "button",
          { type: "button", "aria-pressed": String(this.shown.has(name)), onclick: () => this._toggle(name, chip) },
          make("i", { style: `background: var(--curve-${name})` }),
          label,
        );
        return chip;
      }),
    );
    const save = (words, act) => make("button", { type: "button", class: "plain", onclick: act }, words);
    this.speaker = make("canvas", {
      class: "voice", role: "img",
      "aria-label": `The speaker's loudness and ${this.about.speaker.phrases.length} phrases`,
    });
    this.head = make("i", { class: "playhead" });
    this.speaker.addEventListener("click", (event) => this._seek(event));
    this.plots = this.about.reactions.map((reaction) => this._row(reaction));
    this.rows = make(
      "div",
      { class: "rows" },
      make("div", { class: "row" }, make("h4", {}, "Speaker"), make("div", { class: "lane voice-lane" }, this.speaker, this.head)),
      ...this.plots.map((row) => row.element),
    );
    this.element.append(
      make(
        "div",
        { class: "tools" },
        make("h3", {}, "What they do, and when"),
        make("div", { class: "saves" }, save("Save as PNG", () => this._save("png")), save("Save as SVG", () => this._save("svg"))),
      ),
      key,
      chips,
      this.rows,
    );
  }

  _row(reaction) {
    const marks = new Marks(
      reaction.events,
      this.watch.transport,
      `${nameOf(reaction)}: nods, smiles and blinks in time`,
      (seconds) => this._place(seconds),
    );
    const playhead = make("i", { class: "playhead" });
    const values = make("span", { class: "values" });
    const holder = make("div", { class: "plot" });
    const words = reaction.events.filter((event) => event.kind !== "blink").map((event) => `${clockWords(event.start)} ${event.words}`);
    const element = make(
      "div",
      { class: "row" },
      make("h4", {}, nameOf(reaction), values),
      marks.element,
      make("div", { class: "plot-box" }, holder, playhead),
      make("p", { class: "unseen" }, words.join(". ")),
    );
    return { number: reaction.number, element, marks, holder, playhead, values, curves: reaction.curves, plot: null };
  }

  async _load() {
    const { default: uPlot } = await import(new URL(`${this.web}uplot/dist/uPlot.esm.js`, document.baseURI).href);
    if (!document.querySelector("link[data-uplot]")) {
      const href = new URL(`${this.web}uplot/dist/uPlot.min.css`, document.baseURI).href;
      document.head.append(make("link", { rel: "stylesheet", href, "data-uplot": true }));
    }
    if (this.closed) return;
    this.uPlot = uPlot;
    this.draw();
  }

  _toggle(name, chip) {
    if (this.shown.has(name)) this.shown.delete(name);
    else this.shown.add(name);
    chip.setAttribute("aria-pressed", String(this.shown.has(name)));
    this.scales = scales(this.about, this.shown);
    for (const { plot } of this.plots) {
      if (!plot) continue;
      this.about.curves.forEach((curve, index) => {
        if (curve.name === name) plot.setSeries(index + 1, { show: this.shown.has(name) });
      });
      plot.redraw(true, true);
    }
  }

  _plot() {
    const { frames, frames_per_second: rate, curves, seconds } = this.about;
    const times = Array.from({ length: frames }, (_, frame) => frame / rate);
    const grid = { stroke: colour(this.element, "--line"), width: 1 };
    const ticks = { show: false };
    const axis = { stroke: colour(this.element, "--quiet"), grid, ticks, font: "11px system-ui, sans-serif" };
    for (const row of this.plots) {
      row.plot?.destroy();
      row.plot = new this.uPlot(
        {
          width: this.width,
          height: HEIGHT,
          padding: [8, 0, 0, 0],
          legend: { show: false },
          cursor: { drag: { x: false, y: false }, sync: { key: `watch-${this.watch.value.id}` }, points: { show: false } },
          scales: {
            x: { time: false, range: [0, seconds] },
            weight: { range: () => this.scales.weight },
            degrees: { range: () => this.scales.degrees },
          },
          axes: [
            { ...axis, size: 24, space: 90, values: (_, all) => all.map((second) => `${second} s`) },
            { ...axis, scale: "weight", size: LEFT, space: 30 },
            { ...axis, scale: "degrees", side: 1, size: RIGHT, space: 30, grid: { show: false }, values: (_, all) => all.map((one) => `${one}°`) },
          ],
          series: [
            {},
            ...curves.map(({ name, label, unit }) => ({
              label,
              scale: unit ? "degrees" : "weight",
              stroke: colour(this.element, `--curve-${name}`),
              width: 1.6,
              points: { show: false },
              show: this.shown.has(name),
            })),
          ],
          hooks: { drawClear: [(plot) => this._phrases(plot)], setCursor: [(plot) => this._point(row, plot)] },
        },
        [times, ...row.curves],
        row.holder,
      );
      row.plot.over.addEventListener("click", (event) => {
        this.watch.transport.seek(row.plot.posToVal(event.offsetX, "x"));
      });
    }
    this.show(this.watch.transport.now());
  }

  _phrases(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = colour(this.element, "--watch-phrase");
    for (const [start, end] of this.about.speaker.phrases) {
      const left = plot.valToPos(start, "x", true);
      ctx.fillRect(left, bbox.top, plot.valToPos(end, "x", true) - left, bbox.height);
    }
    ctx.restore();
  }

  _point(row, plot) {
    const at = plot.cursor.idx;
    const words = [];
    if (at !== null && at !== undefined && plot.cursor.left >= 0) {
      words.push(`${(at / this.about.frames_per_second).toFixed(2)} s`);
      this.about.curves.forEach(({ name, label, unit }, index) => {
        const value = row.curves[index][at];
        if (this.shown.has(name)) words.push(`${label.toLowerCase()} ${value.toFixed(unit ? 1 : 2)}${unit}`);
      });
    }
    row.values.textContent = words.join(" · ");
  }

  _seek(event) {
    const x = event.clientX - this.speaker.getBoundingClientRect().left;
    const wide = this.speaker.clientWidth - LEFT - RIGHT;
    this.watch.transport.seek(((x - LEFT) / wide) * this.about.seconds);
  }

  _drawSpeaker() {
    const { context, height } = sized(this.speaker);
    const { loudness, phrases } = this.about.speaker;
    context.fillStyle = colour(this.speaker, "--watch-phrase");
    for (const [start, end] of phrases) {
      context.fillRect(this._place(start), 0, this._place(end) - this._place(start), height);
    }
    context.fillStyle = colour(this.speaker, "--watch-loud");
    const step = Math.max(1, Math.ceil(loudness.length / 500));
    for (let frame = 0; frame < loudness.length; frame += step) {
      const tall = Math.max(1, Math.max(...loudness.slice(frame, frame + step)) ** 2 * (height - 4));
      context.fillRect(this._place(frame / this.about.frames_per_second), (height - tall) / 2, 1.5, tall);
    }
  }

  async _save(kind) {
    const svg = drawing(this.about, this.shown, (name) => colour(this.element, name));
    const blob = kind === "svg" ? new Blob([svg], { type: "image/svg+xml" }) : await toPng(svg);
    const link = make("a", { href: URL.createObjectURL(blob), download: `reactions.${kind}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  _buildCard() {
    const { listener, reactions, differ } = this.about;
    const names = Object.keys(reactions[0]?.card ?? {});
    if (!names.length) return;
    const measured = Object.keys(listener.habits).length > 0;
    const cell = (words) => make("td", {}, words ?? "–");
    const table = make(
      "table",
      {},
      make(
        "thead",
        {},
        make("tr", {}, make("td"), measured ? make("th", { scope: "col" }, "This listener, as measured") : null,
          ...reactions.map((reaction) => make("th", { scope: "col" }, nameOf(reaction)))),
      ),
      make(
        "tbody",
        {},
        ...names.map((name) =>
          make("tr", {}, make("th", { scope: "row" }, name), measured ? cell(listener.habits[name]) : null,
            ...reactions.map(({ card }) => cell(card[name]))),
        ),
      ),
    );
    const confidence = listener.habits["Seen for"];
    this.element.append(
      make("h3", {}, measured ? "How this listener listens, and what the reactions did" : "What the reactions did"),
      reactions[0].words ? "" : make("p", { class: "note-line" }, `Listening style: ${listener.style}.${confidence ? ` Seen for ${confidence}.` : ""}`),
      make("div", { class: "card-table", role: "region", "aria-label": "Style card", tabindex: "0" }, table),
    );
    if (differ) this.element.append(make("p", { class: "note-line differ" }, differ));
  }
}

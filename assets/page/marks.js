// A lane with a mark for every nod, smile and blink: pointing at one names it, a click jumps to it.

import { clockWords, colour, make, sized } from "./dom.js";

export const KINDS = { nod: "--watch-nod", smile: "--watch-smile", blink: "--watch-blink" };
const NEAR = 14; // pixels from a mark at which it is meant

export class Marks {
  // `events`: of one reaction; `place(seconds)`: CSS pixels from the lane's left edge
  constructor(events, transport, words, place = null) {
    this.events = events;
    this.transport = transport;
    this.place = place || ((seconds) => (seconds / transport.duration) * this.canvas.clientWidth);
    this.canvas = make("canvas", { class: "marks", role: "img", "aria-label": words });
    this.tip = make("div", { class: "tip", hidden: true });
    this.playhead = make("i", { class: "playhead" });
    this.element = make("div", { class: "lane" }, this.canvas, this.playhead, this.tip);
    this.canvas.addEventListener("pointermove", (event) => this._point(event));
    this.canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.canvas.addEventListener("click", (event) => this._jump(event));
  }

  draw() {
    const { context, width, height } = sized(this.canvas);
    if (!width) return;
    const colours = Object.fromEntries(Object.entries(KINDS).map(([kind, name]) => [kind, colour(this.canvas, name)]));
    context.lineCap = "round";
    for (const event of this.events) {
      const [x, end, middle] = [this.place(event.start), this.place(event.end), height / 2];
      context.strokeStyle = context.fillStyle = colours[event.kind];
      context.lineWidth = 2.5;
      context.beginPath();
      if (event.kind === "blink") {
        context.globalAlpha = 0.75;
        context.lineWidth = 2;
        context.moveTo(x, middle - 4);
        context.lineTo(x, middle + 4);
        context.stroke();
        context.globalAlpha = 1;
      } else {
        context.globalAlpha = 0.28;
        context.lineWidth = 7;
        context.moveTo(x, middle);
        context.lineTo(Math.max(end, x + 1), middle);
        context.stroke();
        context.globalAlpha = 1;
        context.beginPath();
        if (event.kind === "nod") context.arc(x, middle, event.clear ? 4.5 : 2.8, 0, 7);
        else context.rect(x - 4, middle - 4, 8, 8);
        if (event.cue) context.fill();
        else {
          context.lineWidth = 2;
          context.stroke();
        }
      }
    }
  }

  show(seconds) {
    this.playhead.style.transform = `translateX(${this.place(seconds)}px)`;
  }

  _nearest(pointer) {
    const x = pointer.clientX - this.canvas.getBoundingClientRect().left;
    let [best, distance] = [null, NEAR];
    for (const event of this.events) {
      const away = Math.abs(this.place(event.start) - x) + (event.kind === "blink" ? 2 : 0);
      if (away < distance) [best, distance] = [event, away];
    }
    return best;
  }

  _point(pointer) {
    const event = this._nearest(pointer);
    this.tip.hidden = !event;
    this.canvas.style.cursor = event ? "pointer" : "";
    if (!event) return;
    this.tip.textContent = `${clockWords(event.start)} · ${event.words}`;
    const [width, lane] = [this.tip.offsetWidth, this.element.clientWidth];
    this.tip.style.left = `${Math.max(0, Math.min(lane - width, this.place(event.start) - width / 2))}px`;
  }

  _jump(pointer) {
    const event = this._nearest(pointer);
    const x = pointer.clientX - this.canvas.getBoundingClientRect().left;
    const from = this.place(0);
    const wide = this.place(this.transport.duration) - from;
    this.transport.seek(event ? Math.max(0, event.start - 0.15) : ((x - from) / wide) * this.transport.duration);
  }
}

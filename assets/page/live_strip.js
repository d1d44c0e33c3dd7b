// The last 20 seconds: how loud the speaker was and when they spoke, and the nods and smiles of each listener.

import { colour, sized } from "./dom.js";

const [FRAMES, SECONDS, WIDTH] = [25, 20, 58];
const [QUIET, LOUD] = [-4, 2]; // of the loudness that is heard, perfrdiff/features/hearing.py
const SPEECH = 0.5;
const STROKE = 1.5; // degrees, as perfrdiff/behaviour/events.py
const [SHORTEST, LONGEST, GAP] = [1, 15, 8]; // frames of a stroke, and between two of one nod
const CLEAR = 3; // degrees of a nod that is shown
const SMILE = 0.15; // rise of a smile that is shown
const [VOICE, ROW, LABEL] = [44, 22, 74]; // pixels
const COLUMNS = { smile: ["mouthSmileLeft", "mouthSmileRight"], pitch: ["rotationX"] };

// Alternating extremes between which a curve moves by at least `threshold`, told as they become certain.
class Turns {
  constructor(threshold) {
    this.threshold = threshold;
    this.direction = 0;
    this.low = this.high = null; // [frame, value]
  }

  push(frame, value) {
    this.low ??= [frame, value];
    this.high ??= [frame, value];
    if (this.direction >= 0 && value > this.high[1]) this.high = [frame, value];
    if (this.direction <= 0 && value < this.low[1]) this.low = [frame, value];
    if (this.direction >= 0 && this.high[1] - value >= this.threshold) {
      const turn = this.high;
      [this.direction, this.low] = [-1, [frame, value]];
      return turn;
    }
    if (this.direction <= 0 && value - this.low[1] >= this.threshold) {
      const turn = this.low;
      [this.direction, this.high] = [1, [frame, value]];
      return turn;
    }
    return null;
  }
}

class Movements {
  constructor(columns) {
    this.columns = columns;
    this.nodding = new Turns(STROKE);
    this.smiling = new Turns(SMILE);
    this.smoothed = null;
    this.strokes = [];
    this.events = []; // {kind, frame}
  }

  push(frame, row) {
    const mean = (names) => names.reduce((sum, name) => sum + row[this.columns[name]], 0) / names.length;
    const pitch = (mean(COLUMNS.pitch) * 180) / Math.PI;
    this.smoothed = this.smoothed === null ? pitch : 0.5 * this.smoothed + 0.5 * pitch;
    this._stroke(this.nodding.push(frame, this.smoothed));
    const turn = this.smiling.push(frame, mean(COLUMNS.smile));
    if (turn && this.smiling.direction > 0) this.events.push({ kind: "smile", frame: turn[0] });
    while (this.events.length && this.events[0].frame < frame - FRAMES * (SECONDS + 1)) this.events.shift();
  }

  // Two strokes, one right after the other, are a nod.
  _stroke(turn) {
    if (!turn) return;
    const [before, at] = [this.turn, turn];
    this.turn = turn;
    if (!before) return;
    const length = at[0] - before[0];
    const size = Math.abs(at[1] - before[1]);
    if (length < SHORTEST || length > LONGEST) return void (this.strokes = []);
    if (this.strokes.length && before[0] - this.strokes.at(-1).end > GAP) this.strokes = [];
    this.strokes.push({ start: before[0], end: at[0], size });
    const mean = this.strokes.reduce((sum, stroke) => sum + stroke.size, 0) / this.strokes.length;
    if (this.strokes.length === 2 && mean >= CLEAR) this.events.push({ kind: "nod", frame: this.strokes[0].start });
  }
}

export class Strip {
  // names: of the coefficients, in order
  constructor(canvas, names) {
    this.canvas = canvas;
    this.columns = Object.fromEntries(names.map((name, index) => [name, index]));
    this.clear();
  }

  clear() {
    this.speaker = new Map(); // frame -> [speech, loudness]
    this.listeners = [];
  }

  // rows (n, 3): speech, loudness, since_end
  heard(first, columns, count, rows) {
    for (let i = 0; i < count; i += 1) {
      this.speaker.set(first + i, [rows[i * columns], rows[i * columns + 1]]);
      this.speaker.delete(first + i - FRAMES * (SECONDS + 1));
    }
  }

  // rows (K, n, 58)
  reacted(first, samples, count, rows) {
    while (this.listeners.length < samples) this.listeners.push(new Movements(this.columns));
    for (let k = 0; k < samples; k += 1) {
      for (let i = 0; i < count; i += 1) {
        const from = (k * count + i) * WIDTH;
        this.listeners[k].push(first + i, rows.subarray(from, from + WIDTH));
      }
    }
  }

  // `now`: the speaker's frame of this moment; `shown`: the listener's frame that is seen
  draw(now, shown) {
    this.canvas.style.height = `${VOICE + ROW * Math.max(1, this.listeners.length) + 18}px`;
    const { context, width, height } = sized(this.canvas);
    const wide = width - LABEL;
    const x = (frame) => LABEL + wide * (1 - (now - frame) / (FRAMES * SECONDS));
    const paint = (name) => colour(this.canvas, name);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.fillStyle = paint("--quiet");
    context.fillText("You", 0, VOICE / 2);
    const [phrase, loud] = [paint("--watch-phrase"), paint("--watch-loud")];
    for (const [frame, [speech, loudness]] of this.speaker) {
      const at = x(frame);
      if (at < LABEL) continue;
      const step = wide / (FRAMES * SECONDS);
      if (speech > SPEECH) {
        context.fillStyle = phrase;
        context.fillRect(at, 0, step + 0.5, height - 18);
      }
      const tall = Math.max(1, (VOICE - 8) * Math.min(1, Math.max(0, (loudness - QUIET) / (LOUD - QUIET))) ** 2);
      context.fillStyle = loud;
      context.fillRect(at, (VOICE - tall) / 2, Math.max(1, step * 0.6), tall);
    }
    this.listeners.forEach(({ events }, index) => {
      const y = VOICE + ROW * (index + 0.5);
      context.fillStyle = paint("--quiet");
      context.fillText(this.listeners.length > 1 ? `Listener ${index + 1}` : "Listener", 0, y);
      context.fillRect(LABEL, y, wide, 0.5);
      for (const { kind, frame } of events) {
        const at = x(frame);
        if (at < LABEL + 5 || frame > shown) continue;
        context.fillStyle = paint(`--watch-${kind}`);
        context.beginPath();
        if (kind === "nod") context.arc(at, y, 5, 0, 2 * Math.PI);
        else context.rect(at - 4.5, y - 4.5, 9, 9);
        context.fill();
      }
    });
    context.fillStyle = paint("--quiet");
    context.fillText("20 s ago", LABEL, height - 7);
    context.textAlign = "right";
    context.fillText("now", width, height - 7);
    context.textAlign = "left";
  }
}

// Frames of the listener in, the one to draw now out: as late as needed and no later, 25 frames a second made 60.

const FRAME = 40; // ms
const [WIDTH, PITCH, KEPT] = [58, 52, 150]; // numbers of a frame, which of them is the pitch; frames
const MARGIN = 30; // ms beyond what arrivals ask for
const ARRIVALS = 25; // pieces, of 0.2 s, from which the delay is learnt
const [OUTAGE, BURST] = [600, 150]; // ms later than what was wanted; ms between two arrivals of a sender that catches up
const CALM = 720; // ms; up to here all arrivals are waited for but the latest, beyond it all but a fifth: the last
const FIFTH = 5; // frame is then held now and again, which is better than a listener who always answers late
const QUICKEST = 0.12; // share by which playing may run faster or slower to get to the delay that is wanted
const FURTHEST = 18; // frames behind, beyond which it jumps
const BLEND = 240; // ms over which a jump is smoothed
const MOST_DELAYS = 4000;

export class Playback {
  // captured(frame): when the speaker's frame was filmed or heard, on the clock of performance.now
  constructor(clock, captured) {
    this.clock = clock;
    this.captured = captured;
    this.frames = new Map(); // number -> Float32Array (K × 58)
    this.newest = -1;
    this.at = null; // frame that is shown, with its share towards the next
    this.latest = null; // performance.now of the last drawing
    this.lateness = [];
    this.delays = [];
    this.shownFrames = 0;
    this.skipped = 0; // frames that were never shown
    this.held = 0; // ms for which the next frame was not there yet
    this.picture = null;
  }

  // n frames of K reactions, rows (K, n, 58), from the frame `first` on.
  push(first, samples, count, rows, now = performance.now()) {
    for (let i = 0; i < count; i += 1) {
      const frame = new Float32Array(samples * WIDTH);
      for (let k = 0; k < samples; k += 1) {
        const from = (k * count + i) * WIDTH;
        frame.set(rows.subarray(from, from + WIDTH), k * WIDTH);
        if (frame[k * WIDTH + PITCH] < 0) frame[k * WIDTH + PITCH] += 2 * Math.PI; // upright is π, the edge of its range
      }
      this.frames.set(first + i, frame);
      this.frames.delete(first + i - KEPT);
    }
    this.newest = first + count - 1;
    this._learn(now - this.clock.when((first * FRAME) / 1000), now);
  }

  // What arrives all at once after an outage says nothing about the time after it.
  _learn(late, now) {
    const isOutage = this.lateness.length > 0 && late > this.wanted + OUTAGE;
    if (this.pending !== undefined && now - this.arrived > BURST) this.lateness.push(this.pending);
    this.pending = isOutage ? late : undefined;
    this.arrived = now;
    if (!isOutage) this.lateness.push(late);
    this.lateness.splice(0, this.lateness.length - ARRIVALS);
  }

  // How late the listener is shown, in ms after the speaker's frame began.
  get wanted() {
    if (!this.lateness.length) return this.lastWanted ?? 500;
    const sorted = [...this.lateness].sort((a, b) => b - a);
    const nearlyAll = sorted[sorted.length > 8 ? 1 : 0];
    const most = sorted[Math.floor(sorted.length / FIFTH)];
    return (this.lastWanted = (nearlyAll <= CALM ? nearlyAll : Math.max(CALM, most)) + MARGIN);
  }

  // The numbers (K × 58) to draw now; null before the first frame came.
  draw(now = performance.now()) {
    if (this.newest < 0) return null;
    const due = (now - this.clock.when(0) - this.wanted) / FRAME;
    if (this.at === null) this.at = Math.min(Math.max(0, due), this.newest);
    else this._go(due, now - this.latest);
    this.latest = now;
    this._note(now);
    return this._between(now);
  }

  // What was late by another clock says nothing.
  clockJumped() {
    this.lateness = [];
    this.pending = undefined;
  }

  // After a pause nothing is late that was not before.
  paused() {
    this.latest = null;
    this.lateness = [];
  }

  _go(due, passed) {
    const behind = due - this.at;
    if (behind > FURTHEST) {
      const to = Math.min(due, this.newest);
      if (to - this.at > FURTHEST / 2) {
        this.blend = { from: this.picture, since: this.latest + passed };
        this.at = to;
        return;
      }
    }
    const speed = 1 + Math.min(QUICKEST, Math.max(-QUICKEST, behind * 0.05));
    const next = this.at + (speed * passed) / FRAME;
    if (next > this.newest) this.held += (next - Math.max(this.newest, this.at)) * FRAME;
    this.at = Math.max(this.at, Math.min(next, this.newest));
  }

  _note(now) {
    const frame = Math.floor(this.at);
    if (frame === this.noted) return;
    if (this.noted !== undefined) this.skipped += Math.max(0, frame - this.noted - 1);
    this.noted = frame;
    this.shownFrames += 1;
    this.delays.push(now - this.captured(frame));
    if (this.delays.length > MOST_DELAYS) this.delays.shift();
  }

  _between(now) {
    const first = Math.floor(this.at);
    const one = this.frames.get(first);
    const other = this.frames.get(first + 1) ?? one;
    if (!one) return this.picture;
    const share = this.at - first;
    const picture = new Float32Array(one.length);
    for (let k = 0; k < one.length; k += 1) picture[k] = one[k] * (1 - share) + other[k] * share;
    if (this.blend) {
      const done = (now - this.blend.since) / BLEND;
      if (done >= 1 || this.blend.from?.length !== picture.length) this.blend = null;
      else for (let k = 0; k < picture.length; k += 1) picture[k] = picture[k] * done + this.blend.from[k] * (1 - done);
    }
    return (this.picture = picture);
  }
}

export function quantile(values, share) {
  if (!values.length) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

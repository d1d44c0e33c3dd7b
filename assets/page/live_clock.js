// The clock of a session is its sound: how its seconds lie on the browser's own clock.

const RATE = 16; // samples a millisecond
const LOOK_BACK = 8000; // ms of arrivals of which the earliest counts: a block cannot arrive before it was heard
const [SURE, LOST] = [1000, 250]; // ms for which every block is so much late: that much sound was lost, not held up
const FEWEST = 15; // blocks in that time

const earliest = (beginnings) => Math.min(...beginnings.map(([, start]) => start));

export class Clock {
  constructor() {
    this.samples = 0;
    this.lost = 0; // ms of sound that a busy machine never recorded
    this.beginnings = []; // [arrival, when the first sample was heard as far as that arrival tells]
  }

  // So many samples have just arrived.
  heard(count, now = performance.now()) {
    this.samples += count;
    this.beginnings.push([now, now - this.samples / RATE]);
    while (this.beginnings[0][0] < now - LOOK_BACK) this.beginnings.shift();
    this.start = earliest(this.beginnings);
    const lately = this.beginnings.filter(([arrival]) => arrival >= now - SURE);
    const isSteady = lately.length >= FEWEST && now - lately[0][0] > 0.8 * SURE; // no burst of what was held up
    if (!isSteady || lately.length === this.beginnings.length || earliest(lately) - this.start < LOST) return;
    this.lost += earliest(lately) - this.start;
    [this.beginnings, this.start] = [lately, earliest(lately)];
    this.onLost?.();
  }

  // Without a microphone the first picture begins the session.
  begin(now = performance.now()) {
    this.start ??= now;
  }

  // After a pause the sound goes on where it stopped.
  paused() {
    this.beginnings = [];
  }

  seconds(now) {
    return (now - this.start) / 1000;
  }

  when(seconds) {
    return this.start + 1000 * seconds;
  }
}

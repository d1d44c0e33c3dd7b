// The clock of a session is its sound: how its seconds lie on the browser's own clock.

const RATE = 16; // samples a millisecond
const LOOK_BACK = 8000; // ms of arrivals of which the earliest counts: a block cannot arrive before it was heard

export class Clock {
  constructor() {
    this.samples = 0;
    this.beginnings = []; // [arrival, when the first sample was heard as far as that arrival tells]
  }

  // So many samples have just arrived.
  heard(count, now = performance.now()) {
    this.samples += count;
    this.beginnings.push([now, now - this.samples / RATE]);
    while (this.beginnings[0][0] < now - LOOK_BACK) this.beginnings.shift();
    this.start = Math.min(...this.beginnings.map(([, start]) => start));
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

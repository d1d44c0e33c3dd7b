// One clock for everything that plays. Videos follow it: each is nudged by its speed while it is nearly right, and put
// right by seeking where it is not. Heads and playheads ask it for the time.

const NUDGE_FROM = 0.022; // seconds off that are put right,
const RIGHT = 0.004; // until no more than so many are left,
const RIGHT_WITHIN = 0.6; // seconds,
const NUDGE = 0.2; // by at most this share of the speed
const SEEK_FROM = 0.25; // seconds off from which a video seeks: nudged, it would take seconds
const CHECK_EVERY = 80; // ms
const SETTLED = 150; // ms after which a video that was started or sought runs evenly
const LATE = 1000; // ms for which most videos are off before the clock gives way: the machine is too busy for them
const COST = 0.15; // seconds that the end of a nudge costs a video at most
const COST_SEEN = 1500; // ms after the end of a nudge in which what a video is off is what that end has cost it,
const COST_FROM = 3000; // from so many ms after a start or jump on: before, videos are late for other reasons
const PATIENCE = 2500; // ms for which the clock waits until a video has its first pictures

export class Transport extends EventTarget {
  constructor() {
    super();
    this.duration = 0;
    this.rate = 1;
    this.loop = true;
    this.playing = false;
    this._position = 0; // at the moment _since
    this._since = 0;
    this._followers = new Map(); // video -> what is known of it
    this._timer = 0;
    this._settled = false; // whether the clock has taken the videos' time since the last start or jump,
    this._carried = false; // and takes it all the time
    this._onTime = 0; // when most videos were last on time
  }

  // Seconds from the start, 0 … duration. `at`: of performance.now().
  now(at = performance.now()) {
    if (!this.playing || this._waiting) return this._position;
    return this._position + ((at - this._since) / 1000) * this.rate;
  }

  // The clock before the first picture: everything that followed an earlier one is let go.
  reset(duration) {
    this.pause();
    for (const video of [...this._followers.keys()]) this.unfollow(video);
    this.duration = duration;
    this._set(0);
  }

  // `start`: seconds into the video at which the clock is at 0
  follow(video, start = 0) {
    if (this._followers.has(video)) return;
    const state = { shown: null, at: 0, handle: 0, nudge: 0, nudged: -Infinity, cost: 0, start };
    this._followers.set(video, state);
    if (video.requestVideoFrameCallback) {
      const seen = (_, frame) => {
        state.shown = frame.mediaTime;
        state.at = frame.expectedDisplayTime;
        state.handle = video.requestVideoFrameCallback(seen);
      };
      state.handle = video.requestVideoFrameCallback(seen);
    }
    state.ready = () => this._adjust(video, state);
    video.addEventListener("loadeddata", state.ready);
    video.addEventListener("canplay", state.ready);
    this._adjust(video, state);
  }

  unfollow(video) {
    const state = this._followers.get(video);
    if (!state) return;
    this._followers.delete(video);
    if (state.handle) video.cancelVideoFrameCallback(state.handle);
    video.removeEventListener("loadeddata", state.ready);
    video.removeEventListener("canplay", state.ready);
    video.pause();
  }

  async play() {
    if (this.playing) return;
    if (this._position >= this.duration - 0.05) this._position = 0;
    this.playing = this._waiting = true;
    this.dispatchEvent(new Event("change"));
    for (const [video, state] of this._followers) video.currentTime = this._position + state.start;
    await this._pictures();
    if (!this.playing) return;
    this._waiting = false;
    this._since = this._started = performance.now();
    this._settled = this._carried = false;
    this._timer = setInterval(() => this._check(), CHECK_EVERY);
    this._check();
  }

  pause() {
    const position = Math.min(this.now(), this.duration);
    this.playing = this._waiting = false;
    clearInterval(this._timer);
    this._set(position);
    this.dispatchEvent(new Event("change"));
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  seek(seconds) {
    this._set(Math.min(Math.max(0, seconds), this.duration));
    this.dispatchEvent(new Event("seek"));
  }

  setRate(rate) {
    this._position = this.now();
    this._since = performance.now();
    this.rate = rate;
    this.dispatchEvent(new Event("change"));
  }

  // How far each video is ahead of the clock, in seconds: `time` by what it says, `picture` by the picture that is seen
  // at this moment, null where the browser does not tell.
  drifts() {
    const found = [];
    for (const [video, state] of this._followers) {
      if (video.readyState < 2 || video.seeking || video.error) continue;
      const picture = state.shown === null ? null : state.shown - state.start - this.now(state.at);
      found.push({ time: this._drift(video, state), picture });
    }
    return found;
  }

  _set(position) {
    this._position = position;
    this._since = this._started = performance.now();
    this._settled = this._carried = false;
    for (const [video, state] of this._followers) {
      state.shown = null;
      if (!this.playing) video.pause();
      if (video.readyState >= 1) video.currentTime = position + state.start;
    }
  }

  async _pictures() {
    const end = performance.now() + PATIENCE;
    const missing = () => [...this._followers.keys()].some((one) => !one.error && (one.readyState < 3 || one.seeking));
    while (this.playing && missing() && performance.now() < end) await new Promise((done) => setTimeout(done, 30));
  }

  _check() {
    if (this.now() >= this.duration) {
      if (this.loop) this._set(0);
      else {
        this._position = this.duration;
        return this.pause();
      }
    }
    if (performance.now() - this._started > SETTLED) this._settle();
    for (const [video, state] of this._followers) this._adjust(video, state);
  }

  // The clock takes the time that most videos have: once after every start and jump, because they need a moment to get
  // going; and all the time where the machine is too busy for them to catch up. One that is off by itself is not waited
  // for.
  _settle() {
    const at = performance.now();
    const running = [...this._followers].filter(([video]) => !video.paused && !video.seeking && video.readyState > 2);
    if (!this._settled && running.length < this._followers.size / 2 && at - this._started < PATIENCE) return;
    const drifts = running.map(([video, state]) => this._drift(video, state)).sort((a, b) => a - b);
    const usual = drifts[Math.floor(drifts.length / 2)] ?? 0;
    if (!this._settled || Math.abs(usual) < NUDGE_FROM) this._onTime = at;
    if (at - this._onTime > LATE || Math.abs(usual) > SEEK_FROM) this._carried = true;
    if (!this._settled || this._carried) this._position += usual;
    this._settled = true;
  }

  // What is heard, and what a video means by its time, which it knows between two pictures, too.
  _drift(video, state) {
    return video.currentTime - state.start - this.now();
  }

  _adjust(video, state) {
    if (video.error || video.readyState < 1) return;
    if (!this.playing || this._waiting) {
      const due = this._position + state.start;
      if (!video.seeking && Math.abs(video.currentTime - due) > 0.02) video.currentTime = due;
      return;
    }
    if (video.paused && !video.ended) start(video);
    if (video.seeking || video.readyState < 2) return;
    const drift = this._drift(video, state);
    if (video.ended || (this._settled && Math.abs(drift) > SEEK_FROM)) {
      state.shown = null;
      video.currentTime = Math.min(this.now() + 0.05, this.duration) + state.start;
      if (video.paused) start(video);
      return;
    }
    this._nudge(state, drift);
    const rate = this.rate * (1 - state.nudge);
    if (Math.abs(video.playbackRate - rate) > 0.001) video.playbackRate = rate;
  }

  // Every change of speed costs Chromium some 20 ms of an audio track, on some machines more than may be left: it is
  // changed seldom, and put right in one go, which goes too far by what earlier ends have cost.
  _nudge(state, drift) {
    const at = performance.now();
    const left = drift + state.cost;
    if (!this._settled) state.nudge = 0;
    else if (state.nudge) {
      if (Math.sign(state.nudge) * left >= RIGHT) return;
      state.nudge = 0;
      state.nudged = at;
    } else if (Math.abs(drift) >= NUDGE_FROM) {
      const isCost = at - state.nudged < COST_SEEN && at - this._started > COST_FROM;
      if (isCost) state.cost = Math.max(-COST, Math.min(COST, state.cost + drift / 2));
      state.nudge = Math.max(-NUDGE, Math.min(NUDGE, (drift + state.cost) / RIGHT_WITHIN));
    }
  }
}

// A browser that allows no sound before a click plays without it.
function start(video) {
  video.play().catch((error) => {
    if (error.name !== "NotAllowedError" || video.muted) return;
    video.muted = true;
    video.dispatchEvent(new Event("silenced", { bubbles: true }));
    video.play().catch(() => {});
  });
}

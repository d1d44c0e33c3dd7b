// One clock for everything that plays. Videos follow it: each is nudged by its speed while it is nearly right, and put
// right by seeking where it is not. Heads and playheads ask it for the time.

const NUDGE_FROM = 0.01; // seconds off that are put right
const SEEK_FROM = 0.25; // seconds off from which a video seeks: nudged, it would take seconds
const LARGEST_NUDGE = 0.12; // share of the speed
const CHECK_EVERY = 80; // ms
const PATIENCE = 2500; // ms for which the clock waits until a video has its first pictures
const FRESH = 160; // ms for which the last picture shown says where a video is

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

  follow(video) {
    const state = { shown: null, at: 0, handle: 0 };
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
    for (const video of this._followers.keys()) video.currentTime = this._position;
    await this._pictures();
    if (!this.playing) return;
    this._waiting = false;
    this._since = performance.now();
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

  // Seconds by which each video that can be seen is ahead of the clock, as far as is known.
  drifts() {
    const found = [];
    for (const [video, state] of this._followers) {
      if (video.readyState >= 2 && !video.seeking && !video.error) found.push(this._drift(video, state));
    }
    return found;
  }

  _set(position) {
    this._position = position;
    this._since = performance.now();
    for (const [video, state] of this._followers) {
      state.shown = null;
      if (!this.playing) video.pause();
      if (video.readyState >= 1) video.currentTime = position;
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
    for (const [video, state] of this._followers) this._adjust(video, state);
  }

  _drift(video, state) {
    const fresh = state.shown !== null && performance.now() - state.at < FRESH;
    // A picture is right from its own time until the next one's; what the page calls now is what is heard.
    if (fresh && Math.abs(video.currentTime - state.shown) < 0.2) return state.shown + 0.008 - this.now(state.at);
    return video.currentTime - this.now();
  }

  _adjust(video, state) {
    if (video.error || video.readyState < 1) return;
    if (!this.playing || this._waiting) {
      if (!video.seeking && Math.abs(video.currentTime - this._position) > 0.02) video.currentTime = this._position;
      return;
    }
    if (video.paused && !video.ended) start(video);
    if (video.seeking || video.readyState < 2) return;
    const drift = this._drift(video, state);
    if (Math.abs(drift) > SEEK_FROM || video.ended) {
      state.shown = null;
      video.currentTime = Math.min(this.now() + 0.05, this.duration);
      if (video.paused) start(video);
      return;
    }
    const nudge = Math.abs(drift) < NUDGE_FROM ? 0 : Math.max(-LARGEST_NUDGE, Math.min(LARGEST_NUDGE, 1.2 * drift));
    const rate = this.rate * (1 - nudge);
    if (Math.abs(video.playbackRate - rate) > 0.004) video.playbackRate = rate;
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

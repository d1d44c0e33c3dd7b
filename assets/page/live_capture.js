// Where a session's pictures and sound come from: camera and microphone, or a film that is played as if it were live.

import { quantile } from "./live_playback.js";

const LONG_SIDE = 640; // pixels of a picture that is looked at, as on the server
const FRAMES = 25;
const [SENT_SIDE, SENT_QUALITY, SENT_EVERY] = [480, 0.75, 62]; // pixels, of JPEG, ms: for a server that tracks
const CAMERA = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 25, max: 30 }, facingMode: "user" };
const MICROPHONE = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };

const DENIED = "The browser was not allowed to use camera and microphone. Allow both beside the page's address, then start again.";
const INSECURE =
  "Browsers give camera and microphone to pages from https or localhost only, and this page is neither. " +
  "A film can still be played as if it were live.";
const NOBODY = "No camera and no microphone were found. A film can be played as if it were live.";
const NO_MICROPHONE = "There is no microphone, so the listener sees you and hears nothing.";
const NO_CAMERA = "There is no camera, so the listener hears you and sees nothing.";
const BUSY = "Camera or microphone cannot be opened; another program may be using it.";

// A media stream of what is there, and the sentence that says what is missing. Throws an Error with a sentence.
export async function openDevices() {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) throw new Error(INSECURE);
  const tries = [
    [{ video: CAMERA, audio: MICROPHONE }, ""],
    [{ video: CAMERA }, NO_MICROPHONE],
    [{ audio: MICROPHONE }, NO_CAMERA],
  ];
  let last;
  for (const [wanted, lack] of tries) {
    try {
      return { stream: await navigator.mediaDevices.getUserMedia(wanted), lack };
    } catch (error) {
      last = error;
      if (error.name === "NotReadableError" || error.name === "AbortError") throw new Error(BUSY);
    }
  }
  throw new Error(last.name === "NotAllowedError" || last.name === "SecurityError" ? DENIED : NOBODY);
}

export class Capture {
  // on: {sound(Int16Array), face(ArrayBuffer), picture(ArrayBuffer, seconds)}
  constructor(video, clock, on) {
    this.video = video;
    this.clock = clock;
    this.on = on;
    this.isMuted = false;
    this.isRunning = false; // whether anything is handed on
    this.pictures = this.left = 0; // filmed, and left out because the tracker was at work
    this.took = [];
    this.captured = new Map(); // frame -> when it was filmed
    this.starts = []; // seconds of the film at which the session began, as far as each picture tells
  }

  // A stream of camera and microphone.
  async openStream(stream, script) {
    this.stream = stream;
    this.hasCamera = stream.getVideoTracks().length > 0;
    this.hasSound = stream.getAudioTracks().length > 0;
    if (this.hasSound) await this._listen((context) => context.createMediaStreamSource(stream), script);
    if (!this.hasCamera) return;
    this.video.srcObject = stream;
    this.video.muted = true;
    await this.video.play();
  }

  // A film: `file` is an address. It waits at its beginning until `start`.
  async openFilm(file, script) {
    this.isFilm = true;
    this.video.srcObject = null;
    this.video.muted = false;
    this.video.src = file;
    await new Promise((done, failed) => {
      this.video.onloadeddata = done;
      this.video.onerror = () => failed(new Error("This browser cannot play that film; an MP4 with H.264 works everywhere."));
    });
    this.hasCamera = this.video.videoWidth > 0;
    this.hasSound = true; // a film without a sound track is silence
    await this._listen((context) => {
      const source = context.createMediaElementSource(this.video);
      source.connect(context.destination);
      return source;
    }, script);
  }

  // Load the tracker; rejects with a sentence where it cannot run.
  track(script, web, model) {
    return new Promise((ready, failed) => {
      this.worker = new Worker(script);
      const refuse = (reason) => failed(new Error(`This browser cannot follow a face (${reason})`));
      this.worker.onerror = (event) => refuse(event.message || "the worker did not start");
      this.worker.onmessage = ({ data }) => {
        if (data.type === "ready") ready();
        else if (data.type === "failed") refuse(data.message);
        else this._tracked(data);
      };
      this.worker.postMessage({ type: "load", web, model });
    });
  }

  // Instead of `track`: the server does it, and gets the pictures.
  letServerTrack() {
    this.canvas = document.createElement("canvas");
    this.sentAt = 0;
  }

  async start() {
    this.isRunning = true;
    await this.context?.resume();
    if (this.isFilm) await this.video.play();
    this._watch();
  }

  // Another session begins, with a clock of its own.
  forget() {
    this.lastSeconds = this.lastFrame = undefined;
    this.captured.clear();
    this.starts = [];
  }

  // Seconds of the film at which the session began.
  get filmStart() {
    return this.starts.length ? quantile(this.starts, 0.5) : 0;
  }

  pause() {
    this.isRunning = false;
    if (this.isFilm) this.video.pause();
    this.clock.paused();
  }

  close() {
    this.isRunning = false;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.worker?.terminate();
    this.context?.close();
    this.video.pause();
    this.video.srcObject = null;
    this.video.removeAttribute("src");
  }

  async _listen(source, script) {
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule(script);
    this.node = new AudioWorkletNode(this.context, "blocks", { numberOfOutputs: 0 });
    source(this.context).connect(this.node);
    this.node.port.onmessage = ({ data }) => {
      if (!this.isRunning) return;
      if (this.isMuted) data.fill(0);
      this.clock.heard(data.length);
      this.on.sound(data);
    };
  }

  _watch() {
    if (!this.hasCamera || !(this.worker || this.canvas) || this.isWatching) return;
    this.isWatching = true;
    const next = (_, picture) => {
      if (!this.isRunning) return void (this.isWatching = false);
      this._look(picture);
      this._nextPicture(next);
    };
    this._nextPicture(next);
  }

  _nextPicture(then) {
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(then);
    else setTimeout(() => then(performance.now(), {}), 1000 / FRAMES);
  }

  // One picture goes to the tracker at a time, and none twice for one frame of the session.
  async _look({ captureTime, expectedDisplayTime, mediaTime }) {
    this.pictures += 1;
    const now = performance.now();
    const filmed = Math.min(now, captureTime ?? expectedDisplayTime ?? now);
    if (this.clock.start === undefined) {
      if (this.hasSound) return;
      this.clock.begin(filmed);
    }
    const seconds = Math.max(this.clock.seconds(filmed), (this.lastSeconds ?? -1) + 0.001, 0);
    const frame = Math.floor(seconds * FRAMES);
    if (frame === this.lastFrame) return;
    if (this.isFilm) this._place((mediaTime ?? this.video.currentTime) - seconds);
    if (this.isAtWork) {
      this.left += 1;
      return;
    }
    if (this.canvas && now - this.sentAt < SENT_EVERY) return;
    this.isAtWork = true;
    [this.lastSeconds, this.lastFrame] = [seconds, frame];
    this.captured.set(frame, filmed);
    this.captured.delete(frame - 400);
    const { videoWidth: width, videoHeight: height } = this.video;
    if (this.canvas) return this._send(now, seconds);
    const scale = Math.min(1, LONG_SIDE / Math.max(width, height));
    const size = { resizeWidth: Math.round(width * scale), resizeHeight: Math.round(height * scale) };
    try {
      const picture = await createImageBitmap(this.video, size);
      this.worker.postMessage({ type: "picture", picture, seconds }, [picture]);
    } catch {
      this.isAtWork = false; // the camera gave no picture
    }
  }

  async _send(now, seconds) {
    const { videoWidth: width, videoHeight: height } = this.video;
    const scale = Math.min(1, SENT_SIDE / Math.max(width, height));
    [this.canvas.width, this.canvas.height, this.sentAt] = [Math.round(width * scale), Math.round(height * scale), now];
    this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    const jpeg = await new Promise((done) => this.canvas.toBlob(done, "image/jpeg", SENT_QUALITY));
    const bytes = await jpeg?.arrayBuffer();
    this.took.push(performance.now() - now);
    if (this.took.length > 250) this.took.shift();
    this.isAtWork = false;
    if (bytes && this.isRunning) this.on.picture(bytes, seconds);
  }

  _place(start) {
    this.starts.push(start);
    if (this.starts.length > 250) this.starts.shift();
  }

  _tracked({ message, seconds, took }) {
    this.isAtWork = false;
    this.took.push(took);
    if (this.took.length > 250) this.took.shift();
    if (this.isRunning) this.on.face(message, seconds);
  }
}

// One session's socket: sound and faces go out, reactions come in. The messages: perfrdiff/live/protocol.py, docs/live.md.

const [AUDIO, PICTURE, REACTIONS, HEARD, PHOTO] = [0x01, 0x03, 0x81, 0x82, 0x83];
const [PICTURE_HEAD, LARGEST_PICTURE] = [16, 64_000]; // bytes
const HEAD = 8; // bytes before the numbers of a message from the server
const MOST_WITH_FACES = 24_000; // bytes waiting for the network beyond which faces are left out
const MOST_WAITING = 320_000; // ten seconds of sound: then the network is as good as gone
const OPENING = 120_000; // ms; a server that has just been started loads and compiles first

export class LiveSocket {
  // on: {ready(), reactions(first, samples, rows), heard(first, rows), photo(reaction, frame, jpeg), end(sentence), lost()}
  constructor(address, wishes, on) {
    this.droppedFaces = 0;
    this.sent = 0;
    this.isReady = false;
    this.isOver = false;
    this.on = on;
    const url = new URL(address, document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    const timer = setTimeout(() => !this.isReady && this.socket.close(), OPENING);
    this.socket.onopen = () => this.tell({ type: "start", ...wishes });
    this.socket.onmessage = ({ data }) => (typeof data === "string" ? this._told(JSON.parse(data)) : this._given(data));
    this.socket.onclose = () => {
      clearTimeout(timer);
      if (!this.isOver) this._over(() => on.lost());
    };
  }

  tell(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  sendSound(samples) {
    if (!this._canSend()) return;
    const message = new Uint8Array(4 + 2 * samples.length);
    message[0] = AUDIO;
    message.set(new Uint8Array(samples.buffer, samples.byteOffset, 2 * samples.length), 4); // little-endian, as browsers are
    this._send(message);
  }

  // jpeg: an ArrayBuffer, of a picture that the server is to track. Pictures give way as faces do.
  sendPicture(jpeg, seconds) {
    if (jpeg.byteLength > LARGEST_PICTURE) return void (this.droppedFaces += 1);
    const message = new Uint8Array(PICTURE_HEAD + jpeg.byteLength);
    message[0] = PICTURE;
    new DataView(message.buffer).setFloat64(8, seconds, true);
    message.set(new Uint8Array(jpeg), PICTURE_HEAD);
    this.sendFace(message);
  }

  // Faces give way to the sound, which is the clock.
  sendFace(message) {
    if (!this._canSend()) return;
    if (this.socket.bufferedAmount > MOST_WITH_FACES) this.droppedFaces += 1;
    else this._send(message);
  }

  // The last frames still come, and for a minute the server remembers what was seen; then it closes.
  stop() {
    this.tell({ type: "stop", hold: true });
    this.isStopping = true;
  }

  close() {
    this.isOver = true;
    this.socket.close();
  }

  _canSend() {
    if (!this.isReady || this.isStopping || this.socket.readyState !== WebSocket.OPEN) return false;
    if (this.socket.bufferedAmount < MOST_WAITING) return true;
    this._over(() => this.on.lost());
    this.socket.close();
    return false;
  }

  _send(message) {
    this.socket.send(message);
    this.sent += message.byteLength;
  }

  _told(message) {
    if (message.type === "ready") {
      this.isReady = true;
      this.key = message.session;
      this.on.ready();
    } else if (message.type === "end") this._over(() => this.on.end(message.sentence));
  }

  _given(data) {
    const view = new DataView(data);
    const [kind, samples, count, first] = [view.getUint8(0), view.getUint8(1), view.getUint16(2, true), view.getUint32(4, true)];
    if (kind === PHOTO) return this.on.photo(samples, first, new Uint8Array(data, HEAD));
    const rows = new Float32Array(data, HEAD);
    if (kind === REACTIONS) this.on.reactions(first, samples, count, rows);
    else if (kind === HEARD) this.on.heard(first, samples, count, rows);
  }

  _over(tell) {
    this.isOver = true;
    if (this.isStopping) this.on.end("");
    else tell();
  }
}

// The heads of a live session: those of heads.js, moved by the frame that is given.

import { Heads } from "./heads.js";

const WIDTH = 58;
const ANGLES = [52, 53, 54]; // of the coefficients; then three places
const UPRIGHT = [Math.PI, 0, 0];
// Without a graphics card: a coarser picture, after each a rest as long as it took, and no expression that nobody would
// see, for each costs every point of the head.
const SLOW = { ratio: 0.5, rest: 1, least: 0.04 };

// Whether heads are drawn by the processor, which then has less time for the tracker and, on one machine, the server.
function drawsInSoftware() {
  const gl = document.createElement("canvas").getContext("webgl2");
  const about = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = about ? gl.getParameter(about.UNMASKED_RENDERER_WEBGL) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software|basic render/i.test(name);
}

export class LiveHeads extends Heads {
  // widget: {root, canvas, cells, headsFailed}; head: its address, see page/live_heads.py
  constructor(widget, web, address) {
    const coefficients = { shape: [widget.cells.length, 1, WIDTH], scale: 1 };
    super(widget, { data: document.baseURI, web }, { head: null, coefficients, frames_per_second: 25 });
    this.address = address;
    this.isSlow = drawsInSoftware();
    if (this.isSlow) [this.isSmooth, this.mostRatio] = [false, SLOW.ratio];
    this.rows = new Float32Array(widget.cells.length * WIDTH);
  }

  _build(three, model) {
    super._build(three, model);
    this.pause = 0; // what is drawn when is said below
    if (!this.isSlow) return;
    for (const mesh of this.meshes) {
      const { map, color, vertexColors, side } = mesh.material;
      mesh.material = new three.MeshLambertMaterial({ map, color, vertexColors, side }); // two thirds of the time
    }
  }

  // numbers (K × 58): what the heads do now; null: they stay as they are, and are drawn only where that is needed.
  // Gives whether anything was drawn.
  show(numbers) {
    const now = performance.now();
    if (this.isSlow && this.ready && !this._isRested(now)) return false;
    const view = [this.turn.yaw, this.turn.pitch, this.turn.zoom, this.canvas.clientWidth, this.canvas.clientHeight].join();
    if (this.ready && numbers?.length === this.rows.length) this._move(numbers);
    else if (this.ready && this.view === view) return false;
    this.draw(0);
    if (!this.ready) return false;
    this.view = view;
    if (this.isSlow) this._time(now);
    return true;
  }

  // Drawing is queued; only a fence tells when it is done. Without that, the queue would hold up the whole page.
  _time(now) {
    const gl = this.renderer.getContext();
    this.fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    this.drawnAt = now;
  }

  _isRested(now) {
    if (this.fence) {
      const gl = this.renderer.getContext();
      if (gl.getSyncParameter(this.fence, gl.SYNC_STATUS) !== gl.SIGNALED) return false;
      gl.deleteSync(this.fence);
      this.fence = null;
      this.until = now + SLOW.rest * (now - this.drawnAt);
    }
    return now >= (this.until ?? 0);
  }

  // Clamped to what a face can do, as renderer.coefficients has it.
  _move(numbers) {
    const { most_turn: turn, most_shift: shift, rest } = this.about.head;
    for (let k = 0; k < this.rows.length; k += 1) {
      const axis = (k % WIDTH) - ANGLES[0];
      const [middle, reach] = axis < 0 ? [0.5, 0.5] : axis < 3 ? [UPRIGHT[axis], turn] : [rest[axis - 3], shift[axis - 3]];
      this.rows[k] = middle + Math.min(reach, Math.max(-reach, numbers[k] - middle));
      if (this.isSlow && axis < 0 && this.rows[k] < SLOW.least) this.rows[k] = 0;
    }
  }

  async files() {
    const [glb, about] = await Promise.all([".glb", ".json"].map((kind) => this._fetch(this.address + kind)));
    this.about.head = await about.json();
    const still = [...UPRIGHT, ...this.about.head.rest];
    for (let k = 0; k < this.rows.length; k += WIDTH) this.rows.set(still, k + ANGLES[0]);
    return { glb: await glb.arrayBuffer(), rows: this.rows };
  }

  async _fetch(address) {
    const answer = await fetch(new URL(address, document.baseURI));
    if (!answer.ok) throw new Error(`error ${answer.status}`);
    return answer;
  }
}

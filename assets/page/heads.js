// Heads in 3D: one picture of one head for every cell that shows one, from one WebGL context, moved by coefficients.

import { make } from "./dom.js";

const EXPRESSIONS = 52; // of the 58 coefficients; then three angles (radians) and three places (model units)
const TURN = 0.008; // radians a pixel
const MOST_TURN = 1.2;
const ZOOMS = [0.6, 4];
const BY_THE_PROCESSOR = /swiftshader|llvmpipe|software|basic render/i; // who draws where there is no graphics chip
const SLOW = 80; // ms between pictures then: the same processor may be busy with the videos

export function canDraw() {
  try {
    return Boolean(document.createElement("canvas").getContext("webgl2"));
  } catch {
    return false;
  }
}

export class Heads {
  constructor(watch, value, about) {
    this.watch = watch;
    this.about = about;
    this.source = new URL(value.data, document.baseURI);
    this.web = new URL(value.web, document.baseURI);
    this.canvas = watch.canvas;
    this.turn = { yaw: 0, pitch: 0, zoom: 1 };
    this.hasTurned = false;
    this.isSmooth = true;
    this.mostRatio = 2; // pixels of the picture for one of the page
    this.ready = false;
    this.failed = false;
    for (const cell of watch.cells) this._listen(cell);
  }

  close() {
    this.closed = true;
    this.canvas.hidden = true;
    this.renderer?.dispose();
    this.renderer?.forceContextLoss();
  }

  // The heads as they are at this second, in all cells that show one.
  draw(seconds) {
    const cells = this.watch.cells.filter((cell) => cell.view === "head");
    this.canvas.hidden = cells.length === 0 || !this.ready;
    if (!cells.length) return;
    if (!this.ready) return this._load();
    if (document.hidden || performance.now() - this.drawn < this.pause) return;
    this.drawn = performance.now();
    this._resize();
    const own = this.canvas.getBoundingClientRect();
    this.renderer.setScissorTest(false);
    this.renderer.clear();
    this.renderer.setScissorTest(true);
    for (const cell of cells) {
      const box = cell.stage.getBoundingClientRect();
      if (box.bottom < 0 || box.top > innerHeight || box.right < own.left || box.left > own.right) continue;
      this._pose(cell.number - 1, seconds);
      const [left, bottom] = [box.left - own.left, own.bottom - box.bottom];
      this.renderer.setViewport(left, bottom, box.width, box.height);
      this.renderer.setScissor(left, bottom, box.width, box.height);
      this.camera.aspect = box.width / box.height;
      this.camera.updateProjectionMatrix();
      this.renderer.render(this.scene, this.camera);
    }
  }

  async _load() {
    if (this.loading) return;
    this.loading = true;
    try {
      const [three, { GLTFLoader }, { glb, rows }] = await Promise.all([
        import(new URL("three/build/three.module.js", this.web).href),
        import(new URL("three/examples/jsm/loaders/GLTFLoader.js", this.web).href),
        this.files(),
      ]);
      const model = await new GLTFLoader().parseAsync(glb, "");
      if (this.closed) return;
      this.rows = rows;
      this._build(three, model.scene);
      this.ready = true;
    } catch (error) {
      this.failed = true;
      this.watch.headsFailed(error);
    }
  }

  // The head, and the coefficients (K, T, 58) that move it.
  async files() {
    const [packed, numbers] = await Promise.all([
      fetch(new URL(this.about.head.file, this.source)),
      fetch(new URL(this.about.coefficients.file, this.source)),
    ]);
    const unpacked = new Response(packed.body.pipeThrough(new DecompressionStream("gzip")));
    return { glb: await unpacked.arrayBuffer(), rows: new Int16Array(await numbers.arrayBuffer()) };
  }

  _build(three, model) {
    this.three = three;
    const { head } = this.about;
    this.renderer = new three.WebGLRenderer({ canvas: this.canvas, alpha: true, antialias: this.isSmooth });
    const context = this.renderer.getContext();
    const about3d = context.getExtension("WEBGL_debug_renderer_info");
    const drawer = about3d ? context.getParameter(about3d.UNMASKED_RENDERER_WEBGL) : "";
    this.pause = BY_THE_PROCESSOR.test(drawer) ? SLOW : 0;
    this.drawn = 0;
    this.renderer.autoClear = false;
    this.renderer.setClearColor(0, 0);
    this.scene = new three.Scene();
    this.scene.add(model);
    // as in the studio of the mesh videos: a warm key from the upper left, a cool fill, the sky all round
    this.scene.add(new three.HemisphereLight(0xf4f6ff, 0x9a8578, 2.1));
    for (const [colour, strength, place] of [
      [0xffeeda, 2.6, [-1.1, 1.2, 1.6]], [0xdfe8ff, 0.55, [1.6, 0.2, 1.2]], [0xffffff, 0.6, [0.6, 1.0, -1.6]],
    ]) {
      const light = new three.DirectionalLight(colour, strength);
      light.position.set(...place);
      this.scene.add(light);
    }
    const distance = (head.camera - head.rest[2]) * head.metres;
    this.camera = new three.PerspectiveCamera((2 * Math.atan(0.5 / head.focal) * 180) / Math.PI, 1, 0.05, 10);
    this.eye = new three.Vector3(-head.rest[0] * head.metres, -head.rest[1] * head.metres, distance);
    this.meshes = [];
    model.traverse((part) => {
      part.frustumCulled = false;
      if (part.isMesh) this.meshes.push(part);
    });
    this.joints = { head: model.getObjectByName("head"), shoulders: model.getObjectByName("shoulders") };
    this.scratch = {
      turn: new three.Matrix4(), upright: new three.Matrix4().makeRotationX(Math.PI), euler: new three.Euler(),
      flip: new three.Matrix4().makeScale(1, -1, -1), neck: new three.Vector3(...head.neck),
      a: new three.Vector3(), b: new three.Vector3(),
    };
  }

  // The coefficients of a reaction between two frames, as `renderer.posing.pose_bust` poses them.
  _pose(reaction, seconds) {
    const [, frames, width] = this.about.coefficients.shape;
    const at = Math.min(Math.max(seconds * this.about.frames_per_second, 0), frames - 1);
    const first = Math.floor(at);
    const share = at - first;
    const one = (reaction * frames + first) * width;
    const other = (reaction * frames + Math.min(first + 1, frames - 1)) * width;
    const value = (k) => (this.rows[one + k] * (1 - share) + this.rows[other + k] * share) * this.about.coefficients.scale;
    for (const mesh of this.meshes) {
      if (!mesh.morphTargetInfluences) continue;
      for (let k = 0; k < EXPRESSIONS; k += 1) mesh.morphTargetInfluences[k] = value(k);
    }
    const { metres, rest, share: taken } = this.about.head;
    const { turn, upright, euler, flip, neck, a, b } = this.scratch;
    euler.set(value(52), value(53), value(54), "ZYX"); // R = Rz Ry Rx
    turn.makeRotationFromEuler(euler);
    a.copy(neck).applyMatrix4(turn);
    b.copy(neck).applyMatrix4(upright);
    const place = [0, 1, 2].map((axis) => (value(55 + axis) - rest[axis]) * metres);
    const shift = a.sub(b).multiplyScalar(taken * metres);
    this.joints.shoulders.position.set(place[0] + shift.x, place[1] + shift.y, place[2] + shift.z);
    this.joints.head.position.set(...place);
    this.joints.head.quaternion.setFromRotationMatrix(turn.multiply(flip));
    this._look();
  }

  _look() {
    const { yaw, pitch, zoom } = this.turn;
    const distance = this.eye.z;
    this.camera.position.set(
      this.eye.x + distance * Math.sin(yaw) * Math.cos(pitch),
      this.eye.y + distance * Math.sin(pitch),
      distance * Math.cos(yaw) * Math.cos(pitch),
    );
    this.camera.lookAt(this.eye.x, this.eye.y, 0);
    this.camera.zoom = zoom;
  }

  _resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = Math.min(window.devicePixelRatio || 1, this.mostRatio);
    if (this.width === width && this.height === height && this.ratio === ratio) return;
    [this.width, this.height, this.ratio] = [width, height, ratio];
    this.renderer.setPixelRatio(ratio);
    this.renderer.setSize(width, height, false);
  }

  _turnBy(yaw, pitch) {
    this.turn.yaw = Math.max(-MOST_TURN, Math.min(MOST_TURN, this.turn.yaw + yaw));
    this.turn.pitch = Math.max(-MOST_TURN, Math.min(MOST_TURN, this.turn.pitch + pitch));
  }

  _zoomBy(factor) {
    this.turn.zoom = Math.max(ZOOMS[0], Math.min(ZOOMS[1], this.turn.zoom * factor));
  }

  // Drag turns all heads together, so that they can be compared; the wheel zooms while the head has the focus.
  _listen(cell) {
    const slot = cell.head;
    slot.tabIndex = 0;
    slot.setAttribute("role", "img");
    slot.setAttribute(
      "aria-label",
      `${cell.name} as a head in 3D. Arrows turn it, plus and minus zoom, zero puts it back.`,
    );
    slot.append(make("span", { class: "hint-3d", "aria-hidden": "true" }, "drag to turn"));
    slot.addEventListener("pointerdown", (event) => {
      const from = [event.clientX, event.clientY];
      this.hasTurned = false;
      const move = (next) => {
        if (Math.abs(next.clientX - from[0]) + Math.abs(next.clientY - from[1]) > 4) this.hasTurned = true;
        if (this.hasTurned) {
          this._turnBy(-next.movementX * TURN, next.movementY * TURN);
          this.watch.root.classList.add("turned");
        }
      };
      const end = () => {
        slot.removeEventListener("pointermove", move);
        setTimeout(() => (this.hasTurned = false), 0);
      };
      slot.setPointerCapture(event.pointerId);
      slot.addEventListener("pointermove", move);
      slot.addEventListener("pointerup", end, { once: true });
      slot.addEventListener("pointercancel", end, { once: true });
    });
    slot.addEventListener("dblclick", () => Object.assign(this.turn, { yaw: 0, pitch: 0, zoom: 1 }));
    slot.addEventListener(
      "wheel",
      (event) => {
        if (document.activeElement !== slot) return;
        event.preventDefault();
        this._zoomBy(event.deltaY < 0 ? 1.1 : 1 / 1.1);
      },
      { passive: false },
    );
    slot.addEventListener("keydown", (event) => {
      const turns = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (turns) this._turnBy(...turns);
      else if (event.key === "+" || event.key === "=") this._zoomBy(1.15);
      else if (event.key === "-") this._zoomBy(1 / 1.15);
      else if (event.key === "0") Object.assign(this.turn, { yaw: 0, pitch: 0, zoom: 1 });
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }
}

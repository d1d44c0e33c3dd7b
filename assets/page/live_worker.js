// Follows the largest face in the camera's pictures, away from the page's own thread: a picture comes in, a FACE message
// (perfrdiff/live/protocol.py) goes out. A classic worker: MediaPipe loads its WebAssembly by importScripts, which
// modules do not have.
"use strict";

const [LANDMARKS, SCORES, HEAD] = [478, 52, 16];
const FACE = 0x02;
const [LOWEST_POINT, POINT_SPAN] = [-0.5, 2]; // 0 … 65535 stand for -0.5 … 1.5 pictures
const FACES = 2; // never 1: MediaPipe then smooths the landmarks, with delay, and takes a fifth off every blink

let landmarker = null;
let clock = 0; // milliseconds that MediaPipe is told; it wants them to rise

for (const level of ["log", "info", "warn", "error"]) console[level] = console.debug; // MediaPipe tells how it starts

onmessage = ({ data }) => (data.type === "load" ? load(data) : follow(data));

async function load({ web, model }) {
  try {
    const vision = await import(`${web}@mediapipe/tasks-vision/vision_bundle.mjs`);
    const kind = (await vision.FilesetResolver.isSimdSupported()) ? "vision_wasm" : "vision_wasm_nosimd";
    const wasm = `${web}@mediapipe/tasks-vision/wasm/${kind}_internal`;
    landmarker = await vision.FaceLandmarker.createFromOptions(
      { wasmLoaderPath: `${wasm}.js`, wasmBinaryPath: `${wasm}.wasm` },
      {
        baseOptions: { modelAssetPath: model, delegate: "CPU" },
        runningMode: "VIDEO",
        numFaces: FACES,
        outputFaceBlendshapes: true,
        outputFacialTransformationMatrixes: true,
      },
    );
    follow({ picture: new ImageData(64, 64), warm: true }); // the first picture takes a second
    postMessage({ type: "ready" });
  } catch (error) {
    postMessage({ type: "failed", message: String(error?.message ?? error) });
  }
}

function follow({ picture, seconds, warm }) {
  clock += 40; // any steady rate will do, as on the server
  const began = performance.now();
  let message;
  try {
    const found = landmarker.detectForVideo(picture, clock);
    message = packed(found, largest(found.faceLandmarks, picture), picture, seconds);
  } catch (error) {
    postMessage({ type: "failed", message: String(error?.message ?? error) });
    return;
  } finally {
    picture.close?.();
  }
  if (!warm) postMessage({ type: "face", message, seconds, took: performance.now() - began }, [message]);
}

// Which face has the longer side of its box largest, in pixels; -1: there is none.
function largest(faces, { width, height }) {
  let [best, size] = [-1, 0];
  faces.forEach((points, index) => {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const { x, y } of points) {
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
    }
    const side = Math.max((right - left) * width, (bottom - top) * height);
    if (side > size) [best, size] = [index, side];
  });
  return best;
}

function packed(found, index, { width, height }, seconds) {
  const seen = index >= 0;
  const buffer = new ArrayBuffer(seen ? HEAD + 2 * (3 * LANDMARKS + SCORES) + 4 * 16 : HEAD);
  const view = new DataView(buffer);
  view.setUint8(0, FACE);
  view.setUint8(1, seen ? 1 : 0);
  view.setUint16(2, seen ? width : 0, true);
  view.setUint16(4, seen ? height : 0, true);
  view.setFloat64(8, seconds, true);
  if (!seen) return buffer;
  let at = HEAD;
  const put = (share) => {
    view.setUint16(at, Math.round(65535 * Math.min(1, Math.max(0, share))), true);
    at += 2;
  };
  for (const { x, y, z } of found.faceLandmarks[index]) {
    for (const value of [x, y, z]) put((value - LOWEST_POINT) / POINT_SPAN);
  }
  for (const { score } of found.faceBlendshapes[index].categories) put(score); // _neutral first, as MediaPipe has them
  for (const value of found.facialTransformationMatrixes[index].data) {
    view.setFloat32(at, value, true);
    at += 4;
  }
  return buffer;
}

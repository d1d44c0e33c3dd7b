// The curves as a picture to keep: one SVG, and a PNG of it.

import { nameOf } from "./dom.js";

const WIDTH = 1000;
const [LEFT, RIGHT, TOP] = [60, 50, 64];
const [VOICE, ROW, GAP, AXIS] = [46, 130, 34, 30];
const SCALE = 2; // of the PNG

const escape = (text) => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);

// The least and most of both axes, the same for all reactions, so that they can be compared; their zeros are at one height.
export function scales({ curves, reactions }, shown) {
  const bounds = (has) => {
    const all = curves.flatMap(({ name, unit }, index) => (shown.has(name) && Boolean(unit) === has ? reactions.map((one) => one.curves[index]) : []));
    return [Math.min(0, ...all.map((curve) => Math.min(...curve))), Math.max(0, ...all.map((curve) => Math.max(...curve)))];
  };
  const [[low, high], [lowest, highest]] = [bounds(false), bounds(true)];
  const top = Math.max(0.5, Math.ceil(high * 4) / 4);
  const bottom = Math.min(lowest < -1 ? -top / 2 : 0, low < -0.05 ? Math.floor(low * 4) / 4 : 0);
  const degrees = Math.max(4 / top, highest / top, bottom < 0 ? lowest / bottom : 0) * 1.04;
  return { weight: [bottom, top], degrees: [bottom * degrees, top * degrees] };
}

// `about`: the description of a run; `shown`: names of curves; `paint(name)`: a custom property of the page's theme
export function drawing(about, shown, paint) {
  const { curves, reactions, seconds, speaker } = about;
  const x = (second) => LEFT + (second / seconds) * (WIDTH - LEFT - RIGHT);
  const height = TOP + VOICE + reactions.length * (ROW + GAP) + AXIS + GAP;
  const quiet = `font-family="system-ui, sans-serif" font-size="12" fill="${paint("--quiet")}"`;
  const chosen = curves.map((curve, index) => ({ ...curve, index })).filter(({ name }) => shown.has(name));
  const { weight, degrees } = scales(about, shown);
  const heading = reactions[0]?.words ? "Listeners compared" : `Reactions, listening style: ${about.listener.style}`;
  const parts = [`<rect width="${WIDTH}" height="${height}" fill="${paint("--card")}"/>`];
  parts.push(`<text x="${LEFT}" y="26" font-family="system-ui, sans-serif" font-size="17" font-weight="600" fill="${paint("--ink")}">${escape(heading)}</text>`);
  let along = LEFT;
  for (const { name, label, unit } of chosen) {
    const words = unit ? `${label} (${unit})` : label;
    parts.push(`<rect x="${along}" y="41" width="12" height="4" fill="${paint(`--curve-${name}`)}"/><text x="${along + 17}" y="47" ${quiet}>${escape(words)}</text>`);
    along += 34 + 6.6 * words.length;
  }
  const bands = (top, tall) => speaker.phrases.map(([start, end]) =>
    `<rect x="${x(start)}" y="${top}" width="${x(end) - x(start)}" height="${tall}" fill="${paint("--watch-phrase")}"/>`).join("");
  parts.push(bands(TOP, VOICE), `<text x="8" y="${TOP + VOICE / 2 + 4}" ${quiet}>Speaker</text>`);
  parts.push(`<path fill="none" stroke="${paint("--watch-loud")}" d="${speaker.loudness.map((loud, frame) => {
    const [at, half] = [x(frame / about.frames_per_second).toFixed(1), ((loud ** 2 * (VOICE - 6)) / 2).toFixed(1)];
    return `M${at} ${TOP + VOICE / 2 - half}v${2 * half}`;
  }).join("")}"/>`);
  let top = TOP + VOICE + GAP;
  for (const reaction of reactions) {
    const { curves: values, events } = reaction;
    parts.push(bands(top, ROW), `<text x="8" y="${top - 8}" ${quiet}>${escape(nameOf(reaction))}</text>`);
    parts.push(`<rect x="${LEFT}" y="${top}" width="${WIDTH - LEFT - RIGHT}" height="${ROW}" fill="none" stroke="${paint("--line")}"/>`);
    for (const { name, unit, index } of chosen) {
      const [low, high] = unit ? degrees : weight;
      const line = values[index].map((value, frame) =>
        `${x(frame / about.frames_per_second).toFixed(1)},${(top + ROW * (1 - (Math.min(value, high) - low) / (high - low))).toFixed(1)}`);
      parts.push(`<polyline fill="none" stroke-width="1.6" stroke="${paint(`--curve-${name}`)}" points="${line.join(" ")}"/>`);
    }
    for (const event of events) {
      const [at, tint] = [x(event.start), paint(`--watch-${event.kind}`)];
      const shape = event.kind === "nod" ? `<circle cx="${at}" cy="${top - 10}" r="4.5"` :
        event.kind === "smile" ? `<rect x="${at - 4}" y="${top - 14}" width="8" height="8"` :
        `<rect x="${at - 0.75}" y="${top - 14}" width="1.5" height="8"`;
      const filled = event.cue || event.kind === "blink";
      parts.push(`${shape} fill="${filled ? tint : "none"}" stroke="${tint}"><title>${escape(event.words)}</title></${event.kind === "nod" ? "circle" : "rect"}>`);
    }
    for (const [value, height] of [[weight[1], 10], [weight[0], ROW]]) {
      parts.push(`<text x="${LEFT - 8}" y="${top + height}" text-anchor="end" ${quiet}>${value}</text>`);
    }
    for (const [value, height] of [[degrees[1], 10], [degrees[0], ROW]]) {
      parts.push(`<text x="${WIDTH - RIGHT + 8}" y="${top + height}" ${quiet}>${value.toFixed(0)}°</text>`);
    }
    top += ROW + GAP;
  }
  const step = seconds > 60 ? 10 : seconds > 20 ? 5 : 1;
  for (let second = 0; second <= seconds; second += step) {
    parts.push(`<text x="${x(second)}" y="${top - GAP + 18}" text-anchor="middle" ${quiet}>${second} s</text>`);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}">${parts.join("\n")}</svg>`;
}

// A Blob of the SVG as a PNG.
export async function toPng(svg) {
  const picture = new Image();
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth * SCALE;
  canvas.height = picture.naturalHeight * SCALE;
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

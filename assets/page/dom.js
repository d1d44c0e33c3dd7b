// Small helpers for building the widget.

// make("button", { class: "x", type: "button", onclick: f }, child, "text", …)
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SHAPES = {
  play: "M7 4.5v15l12.5-7.5z",
  pause: "M6.5 4.5h4v15h-4zM13.5 4.5h4v15h-4z",
  loop: "M7 7h9.5V4l4.5 4.5-4.5 4.5v-3H9v4H7zM17 17H7.5v3L3 15.5 7.5 11v3H15v-4h2z",
  sound: "M4 9v6h4l5 4.5v-15L8 9zM16 8.2a5 5 0 0 1 0 7.6zM16 4.6a8.5 8.5 0 0 1 0 14.8v-2.3a6.5 6.5 0 0 0 0-10.2z",
  silent: "M4 9v6h4l5 4.5v-15L8 9zM16.2 9.3l1.2-1.2 2.1 2.1 2.1-2.1 1.2 1.2-2.1 2.1 2.1 2.1-1.2 1.2-2.1-2.1-2.1 2.1-1.2-1.2 2.1-2.1z",
  words: "M3 5h18v14H3zm2 9v2h8v-2zm10 0v2h4v-2zM5 10v2h4v-2zm6 0v2h8v-2z",
  large: "M4 4h7v2H7.4l4 4L10 11.4l-4-4V11H4zM20 20h-7v-2h3.6l-4-4 1.4-1.4 4 4V13h2z",
  small: "M11 11H4V9h3.6l-4-4L5 3.6l4 4V4h2zM13 13h7v2h-3.6l4 4-1.4 1.4-4-4V20h-2z",
  before: "M6 5h2.5v14H6zM19 5v14l-9.5-7z",
  after: "M15.5 5H18v14h-2.5zM5 5v14l9.5-7z",
};

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", SHAPES[name]);
  picture.append(path);
  return picture;
}

// What a reaction of a description is called.
export const nameOf = ({ name, number }) => name ?? `Reaction ${number}`;

export const clockWords = (seconds) =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

export const prefersStillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// The value of a custom property of the page's theme, light or dark.
export const colour = (element, name) => getComputedStyle(element).getPropertyValue(name).trim();

// A canvas as large as it is shown, in device pixels, and its context in CSS pixels.
export function sized(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

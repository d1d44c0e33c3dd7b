// The listener's photo, moved by the server: pictures of its frames come, and the one whose frame is due is shown.

import { make } from "./dom.js";

const KEPT = 100; // frames

export class LivePhotos {
  // cells: those of live_panel.js
  constructor(cells) {
    this.canvases = cells.map(({ stage, number }) => {
      const canvas = make("canvas", { class: "photo", role: "img", "aria-label": `Listener ${number}, made by a computer` });
      stage.append(canvas, make("p", { class: "made" }, "AI-generated"));
      return canvas;
    });
    this.pictures = this.canvases.map(() => new Map()); // by reaction: frame -> ImageBitmap
    this.shown = this.canvases.map(() => -1);
    this.came = 0;
  }

  // jpeg: bytes of one reaction in one frame
  async push(sample, frame, jpeg) {
    if (sample >= this.pictures.length) return;
    const picture = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    if (this.closed) return picture.close();
    this.came += 1;
    const pictures = this.pictures[sample];
    pictures.set(frame, picture);
    for (const old of pictures.keys()) {
      if (old > frame - KEPT) break;
      pictures.get(old).close();
      pictures.delete(old);
    }
  }

  // Show frame `frame`, or the latest before it that came; gives whether anything new was drawn.
  show(frame) {
    let drawn = false;
    this.pictures.forEach((pictures, sample) => {
      let at = Math.floor(frame);
      const oldest = Math.max(this.shown[sample], at - KEPT);
      while (at > oldest && !pictures.has(at)) at -= 1;
      if (at <= oldest) return;
      const canvas = this.canvases[sample];
      const picture = pictures.get(at);
      if (canvas.width !== picture.width) [canvas.width, canvas.height] = [picture.width, picture.height];
      canvas.getContext("2d").drawImage(picture, 0, 0);
      this.shown[sample] = at;
      drawn = true;
    });
    return drawn;
  }

  // Another session counts its frames from 0.
  clear() {
    this.shown.fill(-1);
    for (const pictures of this.pictures) {
      for (const picture of pictures.values()) picture.close();
      pictures.clear();
    }
  }

  close() {
    this.clear();
    this.closed = true;
  }
}

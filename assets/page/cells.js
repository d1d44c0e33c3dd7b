// The players: a cell for the speaker and one for each reaction, which shows it as photo, mesh, both, or a head in 3D.

import { icon, make, nameOf } from "./dom.js";
import { Marks } from "./marks.js";

const VIEWS = { photo: "Photo", mesh: "Mesh", both: "Both", head: "3D" };
const CAPTION_SECONDS = 1.4; // for which a movement is named
const CAPTIONS = { nod: "nods", smile: "smiles" };

class Cell {
  constructor(name, watch, words = "") {
    this.watch = watch;
    this.name = name;
    this.videos = new Map(); // view -> <video>
    this.stage = make("div", { class: "stage" });
    this.caption = make("p", { class: "caption" });
    const [first, ...rest] = name.split(" ");
    const title = first === "Reaction" ? [make("span", {}, `${first} `), rest.join(" ")] : [name];
    this.foot = make("div", { class: "foot" }, make("h3", { "aria-label": name }, ...title));
    this.element = make("article", { class: "cell", "aria-label": name }, this.stage, this.foot);
    if (words) this.element.append(make("p", { class: "what" }, words));
  }

  video(view, source, label) {
    const video = make("video", {
      src: new URL(source, document.baseURI).href, playsinline: true, preload: "auto", "aria-label": label,
      disablepictureinpicture: true, tabindex: "-1",
    });
    video.muted = true;
    this.videos.set(view, video);
    return video;
  }

  close() {
    for (const video of this.videos.values()) {
      this.watch.transport.unfollow(video);
      video.removeAttribute("src");
      video.load();
    }
  }
}

export class SpeakerCell extends Cell {
  constructor(watch, source, start) {
    super("Speaker", watch);
    this.element.classList.add("speaker");
    this.phrases = [];
    if (source) {
      const video = this.video("speaker", source, "The speaker");
      video.addEventListener("error", () => this._say("This browser cannot play the speaker's file."), { once: true });
      video.addEventListener("loadedmetadata", () => {
        if (video.videoWidth) watch.players.style.setProperty("--shape", video.videoWidth / video.videoHeight);
      });
      this.stage.append(video);
      watch.transport.follow(video, start);
    } else this._say("There is no picture of the speaker.");
    this.unmute = make(
      "button",
      { class: "unmute", type: "button", onclick: () => watch.setMuted(false) },
      icon("silent"),
      "Tap for sound",
    );
    this.stage.append(this.caption, this.unmute);
  }

  get sounding() {
    return this.videos.get("speaker") ?? null;
  }

  show(seconds) {
    const talks = this.phrases.some(([start, end]) => seconds >= start && seconds <= end);
    this.caption.textContent = this.phrases.length ? (talks ? "talks" : "pauses") : "";
  }

  _say(words) {
    this.stage.prepend(make("p", { class: "empty" }, words));
  }
}

export class ReactionCell extends Cell {
  constructor(watch, about) {
    super(nameOf(about), watch, about.words);
    const { number } = about;
    this.number = number;
    this.element.dataset.number = number;
    this.files = {};
    this.view = "";
    this.wanted = null; // what was chosen for this cell, if not what is chosen for all
    this.events = [];
    this.frame = make("div", { class: "frame" });
    this.head = make("div", { class: "head", hidden: true });
    this.large = make(
      "button",
      { class: "enlarge", type: "button", "aria-pressed": "false", onclick: () => watch.enlarge(this.number) },
      icon("large"),
    );
    this.choice = make("div", { class: "views", role: "group", "aria-label": `Show ${this.called} as` });
    this.stage.append(this.frame, this.head, this.caption, this.large);
    this.stage.addEventListener("click", (event) => {
      if (event.composedPath().some((one) => one instanceof HTMLButtonElement) || watch.heads?.hasTurned) return;
      watch.enlarge(this.number);
    });
    this.foot.append(this.choice);
    this.setLarge(false);
  }

  // In the middle of a sentence.
  get called() {
    return this.name.replace(/^Reaction/, "reaction");
  }

  // `about`: of the description; `heads`: whether heads can be drawn here
  describe(about) {
    this.events = about.events;
    const count = (kind) => this.events.filter((event) => event.kind === kind).length;
    this.marks = new Marks(
      this.events,
      this.watch.transport,
      `${this.name}: ${count("nod")} nods, ${count("smile")} smiles, ${count("blink")} blinks`,
    );
    this.element.append(this.marks.element);
  }

  // What can be shown now: {view: address} of the finished videos, and whether a head can be drawn.
  offer(files, canDrawHeads) {
    this.files = files;
    const offered = Object.keys(VIEWS).filter((view) => {
      if (view === "head") return canDrawHeads;
      return view === "both" ? files.photo && files.mesh : files[view];
    });
    this.offered = offered;
    this.choice.replaceChildren(
      ...(offered.length < 2 ? [] : offered).map((view) =>
        make(
          "button",
          { type: "button", "data-view": view, onclick: () => ((this.wanted = view), this.choose(view)) },
          VIEWS[view],
        ),
      ),
    );
    this.choose(this.wanted ?? this.watch.view);
  }

  choose(view) {
    const shown = this.offered.includes(view) ? view : (this.offered[0] ?? "");
    for (const button of this.choice.children) {
      button.setAttribute("aria-pressed", String(button.dataset.view === shown));
    }
    if (shown === this.view && shown) return;
    this.view = shown;
    this.element.dataset.view = shown;
    this.head.hidden = shown !== "head";
    const needed = { photo: ["photo"], mesh: ["mesh"], both: ["photo", "mesh"] }[shown] ?? [];
    for (const [one, video] of this.videos) {
      if (!needed.includes(one)) {
        this.watch.transport.unfollow(video);
        video.remove();
      }
    }
    this.frame.replaceChildren(
      ...needed.map((one) => {
        const label = `${this.name} as ${one}`;
        const video = this.videos.get(one) ?? this.video(one, this.files[one], label);
        this.watch.transport.follow(video);
        return video;
      }),
    );
    if (!shown) this.frame.replaceChildren(make("p", { class: "empty" }, this.watch.value.pending ? "Being drawn …" : "No video"));
    this.watch.showedView();
  }

  setLarge(large) {
    this.element.classList.toggle("large", large);
    this.large.setAttribute("aria-pressed", String(large));
    this.large.setAttribute("aria-label", large ? "Back to all reactions" : `Enlarge ${this.called}`);
    this.large.replaceChildren(icon(large ? "small" : "large"));
  }

  show(seconds) {
    this.marks?.show(seconds);
    const now = this.events.filter(
      (event) => event.clear && CAPTIONS[event.kind] && seconds >= event.start && seconds <= event.start + CAPTION_SECONDS,
    );
    const words = [...new Set(now.map((event) => CAPTIONS[event.kind]))].join(", ");
    if (this.caption.textContent !== words) this.caption.textContent = words;
  }
}

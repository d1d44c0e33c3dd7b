// What the page does by itself in the browser: it names its tab, brings what happens into view, says it to a screen
// reader, shades what a trim leaves out, and tells when the server is gone.
() => {
  document.querySelector("#opening")?.remove();

  // Gradio warns of this each time the progress of an upload has been followed to its end, where nothing is wrong.
  const warn = console.warn;
  console.warn = (...words) => { if (words[0] !== "Method not implemented.") warn.apply(console, words); };

  const ask = (path) => fetch(new URL(path, document.baseURI), { cache: "no-store", signal: AbortSignal.timeout(3000) });
  const make = (id, attributes) => {
    const element = document.body.appendChild(document.createElement("div"));
    element.id = id;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  window.perfrdiff = {
    // A secret of this tab: when it is loaded again, the server knows it by this.
    token() {
      let token = sessionStorage.getItem("perfrdiff");
      if (!token) {
        token = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
        sessionStorage.setItem("perfrdiff", token);
      }
      return token;
    },
    setAddress(query) {
      const kept = [...new URLSearchParams(location.search)].filter(([name]) => name.startsWith("__"));
      const text = [query, new URLSearchParams(kept).toString()].filter(Boolean).join("&");
      history.replaceState(null, "", text ? "?" + text : location.pathname);
    },
  };

  // What happens is said once, and brought into view.
  const voice = make("announcer", { role: "status", "aria-live": "polite" });
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let state = "", said = "", asked = false;
  document.addEventListener("click", (event) => { if (event.target.closest("#go, #compare button")) asked = true; }, true);
  const show = (selector) =>
    document.querySelector(selector)?.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  const look = () => {
    const now = document.querySelector("#status [data-state]");
    const words = now?.dataset.announce ?? "";
    if (words !== said) voice.textContent = said = words;
    if (now && !state && ["waiting", "working"].includes(now.dataset.state)) asked = true;  // found again after loading anew
    if (now && now.dataset.state !== state && asked) {
      if (now.dataset.state === "done") {
        setTimeout(() => show("#watch, #results"), 300);
        asked = false;
      } else show("#status");
    }
    state = now?.dataset.state ?? "";
    // What Gradio calls the place to drop a file is not what is written on it; a person who speaks to the page needs that.
    for (const place of document.querySelectorAll("button.upload-container[aria-label]")) place.removeAttribute("aria-label");
    shade();
  };

  // Sliders of a part: what lies outside is shaded, and the player goes to the place.
  const shade = () => {
    for (const role of ["speaker", "listener"]) {
      const strip = document.querySelector(`#${role}-strip .strip`);
      const [start, end] = ["start", "end"].map((edge) => document.querySelector(`#${role}_${edge} input[type=range]`));
      if (!strip || !start || !end) continue;
      const seconds = Number(strip.dataset.seconds) || 1;
      strip.querySelector(".before").style.width = `${(100 * Number(start.value)) / seconds}%`;
      strip.querySelector(".after").style.width = `${Math.max(0, 100 - (100 * Number(end.value)) / seconds)}%`;
    }
  };
  document.addEventListener("input", (event) => {
    const edge = event.target.closest?.("#speaker_start, #speaker_end, #listener_start, #listener_end");
    if (!edge) return;
    shade();
    const player = document.querySelector(`#${edge.id.split("_")[0]}-view video`);
    if (player && player.readyState > 0) player.currentTime = Number(event.target.value);
  });
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-state"] });

  // Two questions without an answer: the server is gone. It may come back; then a run is found again by loading anew.
  const gone = make("gone", { role: "alert", hidden: "" });
  let missed = 0;
  const beat = async () => {
    try {
      if (!(await ask("alive")).ok) throw new Error();
      if (missed > 1 && state === "working") location.reload();
      missed = 0;
      gone.hidden = true;
    } catch {
      missed += 1;
      if (missed > 1 && gone.hidden) {
        gone.textContent = "The server does not answer any more. What you see stays here; the page goes on by itself when it is back.";
        gone.hidden = false;
      }
    }
    setTimeout(beat, missed ? 2000 : 4000);
  };
  setTimeout(beat, 4000);
}

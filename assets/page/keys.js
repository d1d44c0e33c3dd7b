// What the keys do to the players.

const STEP = 1; // seconds of an arrow key

// Acts on a key where it is meant for this widget: while it is in view, and nothing else has the focus.
export function act(watch, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || watch.root.hidden) return;
  const { transport, players, seeker, cells } = watch;
  const target = event.target;
  const inside = watch.root.contains(target);
  const box = players.getBoundingClientRect();
  if (!inside && (target !== document.body || box.bottom < 80 || box.top > innerHeight - 80)) return;
  if (target.matches?.("input:not([type=range]), textarea, select")) return;
  const onButton = target.matches?.("button, a, summary");
  if (event.key === " " && !onButton) transport.toggle();
  else if (event.key === "ArrowLeft" && target !== seeker) transport.seek(transport.now() - STEP);
  else if (event.key === "ArrowRight" && target !== seeker) transport.seek(transport.now() + STEP);
  else if (/^[1-9]$/.test(event.key) && cells[event.key - 1]) watch.enlarge(Number(event.key));
  else if (event.key === "Escape" && players.dataset.large) watch.enlarge(Number(players.dataset.large));
  else if (event.key === "m") watch.setMuted(!watch.muted);
  else if (event.key === "[") watch.jump(-1);
  else if (event.key === "]") watch.jump(1);
  else return;
  event.preventDefault();
}

// Starts every video of the results together from the first picture, with the sound of the side-by-side video alone, and
// pulls those that drift back into step.
() => {
  const whole = document.querySelector("#together video");
  const all = [...document.querySelectorAll("#results video")].filter((video) => video.offsetParent !== null);
  clearInterval(window.inStep);
  for (const video of all) {
    video.pause();
    video.muted = video !== whole;
    video.currentTime = 0;
  }
  Promise.all(all.map((video) => video.play().catch(() => {})));
  window.inStep = setInterval(() => {
    if (!whole || whole.paused || whole.ended || !whole.isConnected) return clearInterval(window.inStep);
    for (const video of all) {
      if (video !== whole && !video.paused && Math.abs(video.currentTime - whole.currentTime) > 0.12) {
        video.currentTime = whole.currentTime;
      }
    }
  }, 500);
}

// Starts every video of the results together from the first picture, with the sound of the side-by-side video alone, and
// pulls those that drift back into step.
() => {
  const leader = document.querySelector("#side-by-side video");
  const all = [...document.querySelectorAll("#results video")].filter((video) => video.offsetParent !== null);
  clearInterval(window.inStep);
  for (const video of all) {
    video.pause();
    video.muted = video !== leader;
    video.currentTime = 0;
  }
  Promise.all(all.map((video) => video.play().catch(() => {})));
  window.inStep = setInterval(() => {
    if (!leader || leader.paused || leader.ended || !leader.isConnected) return clearInterval(window.inStep);
    for (const video of all) {
      if (video !== leader && !video.paused && Math.abs(video.currentTime - leader.currentTime) > 0.12) {
        video.currentTime = leader.currentTime;
      }
    }
  }, 500);
}

// Ages count on from what the server said, so that a part that is held still does not look new.
(() => {
  "use strict";
  const seen = new WeakMap();
  function words(seconds) {
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
    }
    return `${Math.floor(seconds)} s`;
  }
  function countAges() {
    const now = performance.now() / 1000;
    for (const time of document.querySelectorAll("[data-age]")) {
      if (!seen.has(time)) seen.set(time, now - Number(time.dataset.age));
      const text = words(now - seen.get(time));
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // Elements outlive a swap (they are morphed): what the server has just said counts anew.
  function countAnew(event) {
    event.detail.target.querySelectorAll("[data-age]").forEach((time) => seen.delete(time));
    countAges();
  }
  document.addEventListener("htmx:afterSwap", countAnew);
  document.addEventListener("htmx:oobAfterSwap", countAnew);
  document.addEventListener("DOMContentLoaded", () => {
    countAges();
    setInterval(countAges, 1000);
  });
})();

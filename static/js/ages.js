// Ages count on from what the server said, so that a part that is held still does not look new.
(() => {
  "use strict";
  const seen = new WeakMap(); // what the server said of each, and since when it counts
  function words(seconds) {
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
    }
    return `${Math.floor(seconds)} s`;
  }
  // Elements outlive a swap (they are morphed): what the server has just said counts anew, the rest counts on.
  function age(time, now) {
    const said = `${time.dateTime} ${time.dataset.age}`;
    if (seen.get(time)?.said !== said) seen.set(time, { said, from: now - Number(time.dataset.age) });
    return now - seen.get(time).from;
  }
  function countAges() {
    const now = performance.now() / 1000;
    for (const time of document.querySelectorAll("[data-age]")) {
      const seconds = age(time, now);
      const text = words(seconds);
      if (time.textContent !== text) time.textContent = text;
      if (time.dataset.oldAfter) time.classList.toggle("warn", seconds > Number(time.dataset.oldAfter));
    }
  }

  document.addEventListener("htmx:afterSwap", countAges);
  document.addEventListener("htmx:oobAfterSwap", countAges);
  document.addEventListener("DOMContentLoaded", () => {
    countAges();
    setInterval(countAges, 1000);
  });
})();

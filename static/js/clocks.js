// The time in UTC, in New York and where the reader sits: by the server's clock, never by the reader's.
(() => {
  "use strict";
  const SHAPE = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const DAY = { year: "numeric", month: "2-digit", day: "2-digit" };
  const MARK = " yours";
  const shapes = new Map();
  function written(time, zone, shape) {
    const key = `${zone} ${Object.keys(shape)}`;
    // Without a zone it is the reader's own.
    if (!shapes.has(key)) shapes.set(key, new Intl.DateTimeFormat("sv-SE", { ...shape, ...(zone ? { timeZone: zone } : {}) }));
    return shapes.get(key).format(time);
  }
  const hasOwnZone = (time) => ["UTC", "America/New_York"]
    .every((zone) => written(time, zone, { ...DAY, ...SHAPE }) !== written(time, "", { ...DAY, ...SHAPE }));
  function yours(time) {
    const isAnotherDay = written(time, "", DAY) !== written(time, "UTC", DAY);
    return written(time, "", isAnotherDay ? { ...DAY, ...SHAPE } : SHAPE) + MARK;
  }

  // What the server says is old by the time that it is heard: the latest that it can have meant is never too late.
  let ahead = -Infinity;
  const hear = (time) => { if (!Number.isNaN(time)) ahead = Math.max(ahead, time - performance.now()); };
  const now = () => new Date(performance.now() + ahead);

  function tick() {
    const time = now();
    for (const clock of document.querySelectorAll("[data-zone]")) {
      clock.textContent = written(time, clock.dataset.zone, SHAPE);
      if (!clock.dataset.zone) clock.parentElement.hidden = !hasOwnZone(time);
    }
    setTimeout(tick, 1000 - time.getMilliseconds());
  }

  function fillIn() {
    for (const place of document.querySelectorAll("[data-local]")) {
      const time = new Date(place.dataset.local);
      place.hidden = !hasOwnZone(time);
      place.textContent = ` · ${yours(time)}`;
    }
  }
  function addToTitle(event) {
    const time = event.target.closest && event.target.closest("time[datetime][title]");
    if (!time || time.title.endsWith(MARK)) return;
    const at = new Date(time.dateTime);
    if (hasOwnZone(at)) time.title = `${time.title} · ${yours(at)}`;
  }

  document.addEventListener("DOMContentLoaded", () => {
    const clocks = document.querySelector("#clocks");
    fillIn();
    if (!clocks) return;
    hear(Number(clocks.dataset.now));
    tick();
  });
  document.addEventListener("pointerover", addToTitle);
  document.addEventListener("htmx:afterSwap", fillIn);
  document.addEventListener("htmx:oobAfterSwap", fillIn);
  document.addEventListener("htmx:afterRequest", (event) => hear(Date.parse(event.detail.xhr.getResponseHeader("Date"))));
})();

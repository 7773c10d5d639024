// Acknowledging an alarm takes its button away: the alarm itself keeps the focus, so that nobody at a keyboard is lost.
(() => {
  "use strict";
  let focused = null;
  document.addEventListener("htmx:beforeSwap", () => {
    const alarm = document.activeElement && document.activeElement.closest(".alarm");
    focused = alarm ? alarm.id : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    const isLost = document.activeElement === null || document.activeElement === document.body;
    const alarm = focused && isLost ? document.getElementById(focused) : null;
    if (alarm) alarm.focus({ preventScroll: true });
  });
})();

// A button that is held for a second and fires when it is let go: nothing on the way down, nothing by a slip.
// It dispatches "held" on itself, or "unheld" where something clicks it that cannot hold (assistive technology).
(() => {
  "use strict";
  const HOLD_MS = 1000;
  const STEPS = 4;
  const TOO_EARLY = "Too early: nothing was sent. Press again.";
  const LET_GO_EARLY = "Let go too early: nothing was sent. Hold for one second, or press without holding.";
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const buttonOf = (event) => (event.target instanceof Element ? event.target.closest("[data-hold-ready]") : null);
  // For a moment after the page has opened nothing can be pressed (css/press.css).
  const isInert = (button) => getComputedStyle(button).pointerEvents === "none";
  const isLocked = (button) => button.getAttribute("aria-disabled") === "true";
  const isHoldKey = (event) => event.key === " " || event.key === "Enter";

  // A poll that came now would change what is read while it is pressed, or move the button away.
  const STILL = "[data-pinned] > *, #light, #banner";

  let isHeard = false; // a pointer went down on this page
  let hold = null; // { button, by: a pointer's id or a key, since, frame }

  // --- what is seen and said
  function say(words) {
    const line = document.querySelector("[data-said]");
    if (line && line.textContent !== words) line.textContent = words;
  }
  function draw(button, part) {
    button.querySelector(".fill").style.strokeDashoffset = still.matches ? "" : String(100 * (1 - part));
    button.querySelector("[data-steps]").textContent = `${Math.floor(part * STEPS)}/${STEPS}`;
    button.dataset.hold = part >= 1 ? "full" : part > 0 ? "filling" : "";
  }
  function tick() {
    if (!hold) return;
    const part = Math.min(1, (performance.now() - hold.since) / HOLD_MS);
    draw(hold.button, part);
    if (part >= 1) say("Full: let go to send. Esc, or moving off, stops it.");
    else hold.frame = requestAnimationFrame(tick);
  }

  // --- beginning, letting go, stopping
  function begin(button, by) {
    if (hold || isLocked(button)) return;
    hold = { button, by, since: performance.now() };
    document.querySelectorAll(STILL).forEach((part) => part.setAttribute("data-held", ""));
    say("Hold …");
    tick();
  }
  function stop(words) {
    if (!hold) return null;
    const { button, since, frame } = hold;
    hold = null;
    cancelAnimationFrame(frame);
    document.querySelectorAll(STILL).forEach((part) => part.removeAttribute("data-held"));
    draw(button, 0);
    say(words);
    return { button, isFull: performance.now() - since >= HOLD_MS };
  }
  function letGo() {
    const { button, isFull } = stop("");
    if (isFull) button.dispatchEvent(new CustomEvent("held", { bubbles: true }));
    else say(LET_GO_EARLY);
  }
  const isOn = (button, event) => {
    const box = button.getBoundingClientRect();
    return event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
  };

  // A button that is inert is told nothing of what points at it: what lies behind it is.
  function inertAt(event) {
    const isHit = (button) => isInert(button) && event.target.contains(button) && isOn(button, event);
    return [...document.querySelectorAll("[data-press] [name=pressed]")].find(isHit);
  }

  // --- mouse, pen, touch
  document.addEventListener("pointerdown", (event) => {
    isHeard = true;
    if (inertAt(event)) say(TOO_EARLY);
    const button = buttonOf(event);
    if (!button || event.button !== 0 || !event.isPrimary) return;
    button.setPointerCapture(event.pointerId);
    begin(button, event.pointerId);
  });
  document.addEventListener("pointermove", (event) => {
    if (!hold || hold.by !== event.pointerId) return;
    if (!isOn(hold.button, event)) stop("Moved off the button: nothing was sent.");
    else if (event.buttons !== 1) stop("Another button was pressed: nothing was sent.");
  });
  document.addEventListener("pointerup", (event) => {
    if (!isHeard && buttonOf(event)) say(TOO_EARLY); // it went down before this page was there
    if (!hold || hold.by !== event.pointerId) return;
    if (isOn(hold.button, event)) letGo();
    else stop("Moved off the button: nothing was sent.");
  });
  document.addEventListener("pointercancel", (event) => {
    if (hold && hold.by === event.pointerId) stop("The touch was taken away: nothing was sent.");
  });
  // A long touch opens a menu otherwise.
  document.addEventListener("contextmenu", (event) => { if (buttonOf(event)) event.preventDefault(); });

  // --- keys
  document.addEventListener("keydown", (event) => {
    if (hold && event.key === "Escape") {
      event.preventDefault();
      stop("Stopped: nothing was sent.");
    }
    const button = buttonOf(event);
    if (!button || !isHoldKey(event)) return;
    event.preventDefault(); // no click comes of it
    if (isInert(button)) say(TOO_EARLY);
    else if (!event.repeat && !event.ctrlKey && !event.altKey && !event.metaKey && !event.shiftKey) begin(button, event.key);
  });
  document.addEventListener("keyup", (event) => {
    const button = buttonOf(event);
    if (button && isHoldKey(event)) event.preventDefault();
    if (hold && hold.by === event.key) letGo();
  });

  // --- whoever looks away has not let go on purpose
  document.addEventListener("focusout", (event) => { if (hold && event.target === hold.button) stop("Lost the focus: nothing was sent."); });
  window.addEventListener("blur", () => stop("The window lost the focus: nothing was sent."));
  window.addEventListener("pagehide", () => stop(""));
  document.addEventListener("visibilitychange", () => { if (document.hidden) stop("The page was hidden: nothing was sent."); });

  // --- a click that nobody held for: what follows a pointer counts for nothing, the rest cannot hold
  document.addEventListener("click", (event) => {
    const button = buttonOf(event);
    if (!button) return;
    event.preventDefault();
    if (event.detail === 0 && !isLocked(button)) button.dispatchEvent(new CustomEvent("unheld", { bubbles: true }));
  }, true);

  // Only where somebody is there to send it: with half of the scripts the button is better a plain one.
  document.addEventListener("press:ready", (event) => {
    event.target.querySelectorAll("[data-hold]").forEach((button) => {
      button.type = "button";
      button.dataset.holdReady = "";
      button.setAttribute("aria-describedby", "hold-how");
      document.querySelector("#hold-how").hidden = false;
    });
  });
})();

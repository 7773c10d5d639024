// Small help for pages that work without it: polls that wait, ages that count, and a word when the server is silent.
(() => {
  "use strict";
  const SELECTED_AT_MOST = 200;
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const ticked = () => all("#selection input[name=order_id]:checked");

  // --- polls: a table does not change under somebody's hand
  const isPoll = (event) => event.detail.requestConfig.triggeringEvent === undefined
    && event.detail.requestConfig.verb === "get" && event.detail.elt.getAttribute("hx-trigger") !== null;
  const isHeld = (target) => target.hasAttribute("data-holds-selection")
    && (target.hasAttribute("data-filter-changed") || ticked().length > 0 || one(".filter").contains(document.activeElement) || one(".filter details[open]") !== null);

  function showHeld() {
    const held = one("[data-holds-selection]");
    const note = one("[data-paused]");
    if (held && note) note.hidden = !isHeld(held);
  }

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (isPoll(event) && (document.hidden || isHeld(event.detail.elt))) event.preventDefault();
    showHeld();
  });

  // --- selection
  function showSelection() {
    const count = ticked().length;
    const button = one("#cancel-selected");
    if (!button) return;
    one("[data-selected]").textContent = count ? `\u00a0(${count})` : "";
    one("[data-too-many]").hidden = count <= SELECTED_AT_MOST;
    button.disabled = count === 0 || count > SELECTED_AT_MOST;
    const everything = one("[data-select-all]");
    if (everything) {
      everything.hidden = false;
      everything.checked = count > 0 && count === all("#selection input[name=order_id]").length;
      everything.indeterminate = count > 0 && !everything.checked;
    }
    showHeld();
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-select-all]")) {
      all("#selection input[name=order_id]").forEach((box) => { box.checked = event.target.checked; });
    }
    showSelection();
  });
  document.addEventListener("focusin", showHeld);
  document.addEventListener("focusout", () => setTimeout(showHeld));
  document.addEventListener("toggle", showHeld, true);
  document.addEventListener("click", (event) => {
    all(".filter details[open]").forEach((box) => { if (!box.contains(event.target)) box.open = false; });
  });
  document.addEventListener("keydown", (event) => {
    const box = event.key === "Escape" && one(".filter details[open]");
    if (box) { box.open = false; one("summary", box).focus(); }
  });

  // --- a filter that is typed and not yet applied: the red button would reach more than what is on the screen
  function holdCancel(event) {
    const button = one("#cancel-match");
    if (!button || !event.target.closest(".filter")) return;
    button.removeAttribute("href");
    button.setAttribute("aria-disabled", "true");
    button.textContent = "Press Filter first";
    one("#orders").setAttribute("data-filter-changed", "");
  }
  document.addEventListener("input", holdCancel);
  document.addEventListener("change", holdCancel);

  // --- ages: counted on from what the server said, so that a held table does not look new
  const seen = new WeakMap();
  function words(seconds) {
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
    }
    return `${Math.floor(seconds)} s`;
  }
  function countAges() {
    const now = performance.now() / 1000;
    for (const time of all("[data-age]")) {
      if (!seen.has(time)) seen.set(time, now - Number(time.dataset.age));
      const text = words(now - seen.get(time));
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // --- saying: only a change of state is read out
  function say() {
    const state = one("[data-say]");
    const said = one("#said");
    if (state && said.textContent !== state.dataset.say) said.textContent = state.dataset.say;
  }

  // --- silence: a page that no longer follows says so
  let silentSince = null;
  function tellSilence(event) {
    const line = one("#stale");
    const isPost = event.detail.requestConfig && event.detail.requestConfig.verb !== "get";
    silentSince = silentSince || new Date().toISOString().slice(11, 19);
    line.textContent = isPost
      ? "NO ANSWER. Look under Kills: if the kill is not there, it was NOT SENT."
      : `Not following since ${silentSince} UTC: the server gives no good answer. What stands here is old.`;
    line.hidden = false;
  }
  document.addEventListener("htmx:sendError", tellSilence);
  document.addEventListener("htmx:timeout", tellSilence);
  document.addEventListener("htmx:responseError", tellSilence);

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { requestConfig, xhr } = event.detail;
    // A refused form comes back as a whole page: show its content, loudly, instead of nothing.
    if (requestConfig.verb !== "get" && [400, 403].includes(xhr.status)) {
      Object.assign(event.detail, { shouldSwap: true, isError: false, selectOverride: "#main", swapOverride: "outerHTML" });
      event.detail.target = one("#main");
      return;
    }
    // Ticked or opened while the answer was on its way: it comes too late.
    if (event.detail.shouldSwap && isPoll(event) && isHeld(event.detail.target)) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterSwap", () => {
    silentSince = null;
    one("#stale").hidden = true;
    showSelection();
    say();
    countAges();
  });

  document.addEventListener("DOMContentLoaded", () => {
    showSelection();
    say();
    countAges();
    setInterval(countAges, 1000);
  });
})();

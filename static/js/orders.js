// The orders of an account: what is selected, and a filter that is typed and not yet applied.
(() => {
  "use strict";
  const SELECTED_AT_MOST = 200;
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const ticked = () => all("#selection input[name=order_id]:checked");

  // --- the table does not change under somebody's hand
  function showHeld() {
    const table = one("[data-holds-selection]");
    if (!table) return;
    const isHeld = table.hasAttribute("data-filter-changed") || ticked().length > 0
      || one(".filter").contains(document.activeElement) || one(".filter details[open]") !== null;
    table.toggleAttribute("data-held", isHeld);
    const note = one("[data-paused]");
    if (note) note.hidden = !isHeld;
  }

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
    showHeld();
  }
  document.addEventListener("input", holdCancel);
  document.addEventListener("change", holdCancel);

  document.addEventListener("htmx:afterSwap", showSelection);
  document.addEventListener("DOMContentLoaded", showSelection);
})();

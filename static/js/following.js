// Polls: a page follows what the server says, changes nothing under somebody's hand, and says when it hears nothing.
(() => {
  "use strict";
  const one = (selector, root = document) => root.querySelector(selector);

  const isPoll = (event) => event.detail.requestConfig.triggeringEvent === undefined
    && event.detail.requestConfig.verb === "get" && event.detail.elt.getAttribute("hx-trigger") !== null;
  // The armed light speaks for itself (see light.js).
  const isLight = (event) => event.detail.elt.id === "light";
  // Whoever holds a part of the page still puts this attribute on it (see orders.js).
  const isHeld = (target) => target.closest("[data-held]") !== null;

  // In a tab that nobody sees, only what has an end to tell goes on: a kill.
  const isUnseen = (target) => document.hidden && !target.hasAttribute("data-follows-unseen");

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (isPoll(event) && (isUnseen(event.detail.elt) || isHeld(event.detail.elt))) event.preventDefault();
  });

  // --- saying: only a change of state is read out
  function say() {
    const state = one("[data-say]");
    const said = one("#said");
    if (state && said.textContent !== state.dataset.say) said.textContent = state.dataset.say;
  }

  // --- silence: a page that no longer follows says so
  let silentSince = null;
  function tellSilence(event) {
    if (isLight(event)) return;
    const line = one("#stale");
    const isPost = event.detail.requestConfig && event.detail.requestConfig.verb !== "get";
    silentSince = silentSince || new Date().toISOString().slice(11, 19);
    line.textContent = isPost
      ? "NO ANSWER: it may or may not have been done. Load the page again and look."
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
  // An answer without content is one, too: nothing has changed.
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful || isLight(event)) return;
    silentSince = null;
    one("#stale").hidden = true;
  });
  document.addEventListener("htmx:afterSwap", say);
  document.addEventListener("DOMContentLoaded", () => {
    say();
    // What somebody has opened or closed stays so, whatever the server sends.
    Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) => !(name === "open" && element.tagName === "DETAILS");
  });
})();

// The armed light: where nothing is heard of it, it is not known. What could not be asked must not stay green.
(() => {
  "use strict";
  const LONGEST = 15; // seconds
  const light = () => document.getElementById("light");
  let heard = performance.now();

  function lose(why) {
    const box = light();
    const since = box && box.querySelector("[data-lost-since]");
    if (!since || box.classList.contains("lost")) return;
    const at = new Date(Date.now() - (performance.now() - heard)).toISOString().slice(11, 19);
    since.textContent = `${why} The light was last heard of at ${at} UTC.`;
    box.querySelector("[data-light-said]").textContent = "Armed light: NOT KNOWN.";
    box.classList.add("lost");
  }
  function find() {
    heard = performance.now();
  }
  function lookAtAge() {
    if (performance.now() - heard > LONGEST * 1000) lose("The server does not answer.");
  }

  const isOfLight = (event) => event.target.id === "light";
  document.addEventListener("htmx:responseError", (event) => {
    if (!isOfLight(event)) return;
    lose(event.detail.xhr.status === 401 ? "You are no longer logged in." : "The server gives no good answer.");
  });
  document.addEventListener("htmx:sendError", (event) => { if (isOfLight(event)) lose("The server cannot be reached."); });
  document.addEventListener("htmx:timeout", (event) => { if (isOfLight(event)) lose("The server does not answer."); });
  document.addEventListener("htmx:afterSwap", (event) => { if (isOfLight(event)) find(); });

  // A hidden page does not ask (see following.js): whoever comes back to it sees what is true now.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !light()) return;
    lookAtAge();
    htmx.trigger("#light", "look");
  });
  document.addEventListener("DOMContentLoaded", () => {
    if (!light()) return;
    find();
    setInterval(lookAtAge, 1000);
  });
})();

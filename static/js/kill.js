// A kill's page: when the server was last heard, the clock since the press, and how title, icon and sound tell the end.
(() => {
  "use strict";
  const LOUD_AFTER = 5; // seconds of silence
  const ASLEEP = 3; // seconds without a tick: the browser slept, not the server
  const one = (selector) => document.querySelector(selector);
  const seconds = () => performance.now() / 1000;
  const isFollowing = () => one("#kill[hx-trigger]") !== null;
  const isMine = (event) => event.detail.elt && event.detail.elt.id === "kill";
  const utc = () => new Date().toISOString().slice(11, 19);

  // --- hearing: the server sends only what has changed since, and nothing where nothing has
  let heardAt = seconds();
  let heardAtUtc = utc();
  let wokeAt = heardAt;
  let tickedAt = heardAt;
  document.addEventListener("htmx:configRequest", (event) => {
    if (!isMine(event)) return;
    event.detail.headers["X-Seen"] = one("#kill-marks").dataset.marks;
    if (document.hidden) event.detail.headers["X-Unseen"] = "1";
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!isMine(event) || !event.detail.successful) return;
    const silence = seconds() - Math.max(heardAt, wokeAt);
    if (silence >= LOUD_AFTER) {
      one("#gap").textContent = `Nothing was heard from the server from ${heardAtUtc} to ${utc()} UTC (${Math.round(silence)} s). `
        + "What stands here now is new.";
      one("#gap").hidden = false;
    }
    heardAt = seconds();
    heardAtUtc = utc();
    showHeard();
  });
  function showHeard() {
    const line = one("#heard");
    const silence = seconds() - heardAt;
    const isLoud = seconds() - Math.max(heardAt, wokeAt) >= LOUD_AFTER;
    line.hidden = false;
    if (!isFollowing()) {
      line.textContent = "Ended: the server is no longer asked.";
      line.classList.remove("bad");
      document.body.classList.remove("unheard");
      return;
    }
    const said = isLoud ? "NOT heard from the server for" : "Heard from the server";
    line.textContent = `${said} ${silence.toFixed(1)} s${isLoud ? ": what stands here is old" : " ago"}`;
    line.classList.toggle("bad", isLoud);
    document.body.classList.toggle("unheard", isLoud);
  }

  // --- the clock: counts from what the server said
  let pressedAt = null;
  let saidBefore = "";
  function words(total) {
    if (total < 120) return `${total.toFixed(1)} s`;
    const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, Math.floor(total % 60)];
    return hours ? `${hours} h ${minutes} min ${rest} s` : `${minutes} min ${rest} s`;
  }
  function setClock() {
    const { pressed } = one("[data-pressed]").dataset;
    // Other parts of the page are swapped, too: what was said before has grown old since.
    if (pressed === saidBefore) return;
    saidBefore = pressed;
    // An answer that took long must not set it back.
    const said = seconds() - Number(pressed);
    pressedAt = pressedAt === null ? said : Math.min(said, pressedAt);
  }
  function showClock() {
    const clock = one("[data-pressed]");
    if (isFollowing()) clock.textContent = words(seconds() - pressedAt);
  }

  // --- the end: icon and sound; the title comes with the answer
  let tone = null;
  function showEnd() {
    const state = one("#kill .state");
    const icon = one("link[rel=icon]");
    if (icon.getAttribute("href") !== state.dataset.icon) icon.setAttribute("href", state.dataset.icon);
    if (tone !== null && state.dataset.tone && state.dataset.tone !== tone) play(state.dataset.tone);
    tone = state.dataset.tone;
  }

  // Each note: hertz, from when, how long. What is well rises; what is not repeats itself, low.
  const FIGURES = {
    good: [[523, 0, 0.14], [659, 0.15, 0.14], [784, 0.3, 0.3]],
    bad: [[233, 0, 0.22], [196, 0.26, 0.22], [233, 0.6, 0.22], [196, 0.86, 0.4]],
    test: [[659, 0, 0.12]],
  };
  let audio = null;
  const wantsSound = () => localStorage.getItem("killswitch.sound") === "on";
  function play(name) {
    if (!wantsSound()) return;
    audio = audio || new AudioContext();
    for (const [hertz, from, length] of FIGURES[name]) {
      const note = audio.createOscillator();
      const volume = audio.createGain();
      const start = audio.currentTime + from;
      note.type = "triangle";
      note.frequency.value = hertz;
      volume.gain.setValueAtTime(0.25, start);
      volume.gain.exponentialRampToValueAtTime(0.001, start + length);
      note.connect(volume).connect(audio.destination);
      note.start(start);
      note.stop(start + length);
    }
  }
  function showSound() {
    const button = one("#sound");
    button.hidden = !isFollowing();
    if (!wantsSound()) button.textContent = "Sound on";
    else if (audio && audio.state === "running") button.textContent = "Sound off";
    else button.textContent = "Sound waits for a click or a key on this page";
  }
  function switchSound() {
    const isWaiting = wantsSound() && !(audio && audio.state === "running");
    localStorage.setItem("killswitch.sound", wantsSound() && !isWaiting ? "off" : "on");
    play("test");
    showSound();
  }
  // A browser lets a page be heard only once somebody has touched it.
  function wakeSound() {
    if (!wantsSound()) return;
    audio = audio || new AudioContext();
    audio.resume().then(showSound);
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (!isFollowing()) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    let shownAt = 0;
    setClock();
    showEnd();
    showHeard();
    if (wantsSound()) audio = new AudioContext();
    showSound();
    one("#sound").addEventListener("click", switchSound);
    document.addEventListener("pointerup", wakeSound);
    document.addEventListener("keyup", wakeSound);
    document.addEventListener("htmx:afterSwap", () => { setClock(); showClock(); showEnd(); showHeard(); showSound(); });
    setInterval(() => {
      const now = seconds();
      if (now - tickedAt > ASLEEP) wokeAt = now;
      tickedAt = now;
      if (calm.matches && now - shownAt < 1) return;
      shownAt = now;
      showHeard();
      showClock();
    }, 100);
  });
})();

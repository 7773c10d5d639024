// The press: sends the confirmation, says "sent" only once the server has committed it, and says loudly when not.
//
// One press is one key. What is repeated is the same form with the same key, so that it can only ever be one kill.
// Where no answer came, it is not known whether it was sent: then the server is asked for the key until it is.
(() => {
  "use strict";
  const form = document.querySelector("form[data-press]");
  if (!form) return;

  const ANSWER_WITHIN_MS = 8000;
  const LOOK_WITHIN_MS = 4000;
  const LOOK_EVERY_MS = 2000;
  const SETTLES_AFTER_MS = 1000 * Number(form.dataset.settlesAfter);
  const KILL = /^\/kills\/[0-9a-f-]{36}\/$/;

  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const panel = one("#not-sent");
  const inPanel = (name) => one(`[data-${name}]`, panel);
  const buttons = all("#hold, #rehearse");
  const words = new Map(buttons.map((button) => [button, one("[data-words]", button).textContent]));
  const seconds = (since) => ((performance.now() - since) / 1000).toFixed(1);
  const clock = () => new Date().toISOString().slice(11, 19);

  let token = one("[name=csrfmiddlewaretoken]", form).value;
  let pressed = null; // the last press: { by: its button, choices: as the form stood }
  let isChanged = false; // the last press asks for something else than one before it of which nothing is known
  let body = null; // what was pressed, until it is known to have been sent or not
  let doubt = null; // where nobody knows: { why, settlesAfter, missedSince }
  let needsToken = false;
  let isSending = false;
  let isSent = false;
  let looking = null;

  // --- asking the server
  async function ask(address, options, withinMs) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), withinMs);
    try {
      const answer = await fetch(address, { credentials: "same-origin", redirect: "manual", cache: "no-store", signal: stop.signal, ...options });
      return { answer, text: await answer.text() };
    } catch (error) {
      return { error: stop.signal.aborted ? "timeout" : "network" };
    } finally {
      clearTimeout(timer);
    }
  }

  function post() {
    const headers = { "HX-Request": "true", "X-CSRFToken": token, "Content-Type": "application/x-www-form-urlencoded" };
    return ask(form.action, { method: "POST", body, headers }, ANSWER_WITHIN_MS);
  }

  // Returns the address of the kill, null where the server knows of none, undefined where it did not say. Of several
  // presses with different choices, the server says whether it is the last one.
  async function look() {
    const address = isChanged ? `${form.dataset.look}?${scopeOf(pressed.choices)}` : form.dataset.look;
    const { answer, text } = await ask(address, {}, LOOK_WITHIN_MS);
    if (!answer) return { trouble: "the server does not answer" };
    if (answer.type === "opaqueredirect" || answer.status === 401) return { isLoggedOut: true };
    if (!answer.ok) return { trouble: `the server answers with an error (${answer.status})` };
    try {
      const told = JSON.parse(text);
      token = told.csrf_token;
      return { kill: told.kill, isAnother: told.is_of_these_fields === false };
    } catch {
      return { trouble: "what answers is not Killswitch" };
    }
  }

  // --- what an answer means: sent, not sent, or not known
  function meaningOf({ error, answer, text }) {
    if (error === "timeout") return { doubt: `The server did not answer within ${ANSWER_WITHIN_MS / 1000} seconds.`, isOpen: true };
    if (error) {
      const why = navigator.onLine ? "The connection to the server was lost." : "This computer has no network.";
      return { doubt: why, isOpen: true };
    }
    const to = answer.headers.get("HX-Redirect");
    if (answer.ok && to && KILL.test(to)) return { sent: to };
    if (answer.status === 401 || (to && to.startsWith(form.dataset.login))) {
      return { refused: "You were logged out. Log in in a new tab, come back here, and try again.", isLoggedOut: true };
    }
    if (answer.status === 500) return { doubt: "The server broke (error 500).", isOpen: false };
    // Every other such error is of something in between: the server may still be at it.
    if (answer.status > 500 || answer.status === 408) {
      return { doubt: `Something between here and the server gave up (error ${answer.status}).`, isOpen: true };
    }
    if (answer.status >= 400) return { refused: reasonIn(text, answer.status), isStale: answer.status === 403 };
    return { doubt: "What answered is not Killswitch: perhaps a log-in page of something in between.", isLoggedOut: true };
  }

  // A refusal is a whole page: the words that say why are marked on it.
  function reasonIn(text, status) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const marked = all("[data-why]", page).map((line) => {
      const told = line.textContent.trim().replace(/\s+/g, " ");
      return line.dataset.why ? `${line.dataset.why}: ${told}` : told;
    });
    return marked.length ? `${marked.join(" ")}` : `The server refused it (${status}).`;
  }

  // --- the buttons
  const backWords = one("[data-back]").textContent;
  function lock(label) {
    one("[data-choices]").disabled = true;
    for (const button of buttons) button.setAttribute("aria-disabled", "true");
    one("[data-send]").disabled = true;
    showLabel(label);
    showBack("Leave this page: it may be sent all the same");
  }
  function unlock() {
    showBack(backWords);
    one("[data-choices]").disabled = false;
    for (const button of buttons) {
      button.removeAttribute("aria-disabled");
      one("[data-words]", button).textContent = words.get(button);
    }
    one("[data-send]").disabled = !one("[data-sure]").checked;
  }
  function showBack(label) {
    one("[data-back]").textContent = label;
  }
  function showLabel(label) {
    for (const button of buttons) one("[data-words]", button).textContent = label;
  }

  // --- what stands there loudly
  function tell(headline, why, { isLoggedOut = false, sent = "", anew = "" } = {}) {
    const wasHidden = panel.hidden;
    panel.hidden = false;
    panel.classList.toggle("sent", Boolean(sent) && !anew); // of several presses one was not
    for (const [name, told] of [["headline", headline], ["reason-why", why]]) {
      if (inPanel(name).textContent !== told) inPanel(name).textContent = told;
    }
    inPanel("again").hidden = Boolean(sent);
    inPanel("log-in").hidden = !isLoggedOut;
    inPanel("sent").hidden = !sent;
    if (sent) inPanel("sent").href = sent;
    inPanel("anew").hidden = !anew;
    inPanel("anew").search = anew;
    document.title = `${headline} · Killswitch`;
    if (wasHidden) panel.scrollIntoView({ block: "start" });
  }
  const tellLooking = (told) => { inPanel("looking").textContent = told; };
  const knowsHas = CSS.supports("selector(:has(*))"); // then the style sheet says it by itself
  function showLine() {
    const isDry = one("[name=dry_run]", form).checked;
    if (!knowsHas) one("main").dataset.fires = isDry ? "dry" : "real";
    const isLatched = one("[name=latched][value=on]", form)?.checked ?? false; // single orders cannot be latched
    all("[data-line]").forEach((line) => {
      line.textContent = isDry ? line.dataset.dry : isLatched ? line.dataset.latched : line.dataset.once;
    });
  }

  // --- sending
  async function send() {
    if (isSending || isSent) return;
    isSending = true;
    stopLooking();
    showLine();
    const since = performance.now();
    lock("Sending …");
    const timer = setInterval(() => showLabel(`Sending … ${seconds(since)} s`), 100);
    inPanel("again").disabled = true;
    try {
      if (needsToken) await look(); // after another log-in the form's own token holds no more
      resolve(meaningOf(await post()));
    } finally {
      clearInterval(timer);
      inPanel("again").disabled = false;
      isSending = false;
    }
  }

  function resolve(meaning) {
    if (meaning.sent) return sent(meaning.sent);
    needsToken = Boolean(meaning.isLoggedOut || meaning.isStale || needsToken);
    if (meaning.doubt) {
      doubt = { why: meaning.doubt, settlesAfter: meaning.isOpen ? SETTLES_AFTER_MS : 0, missedSince: null, isLoggedOut: meaning.isLoggedOut };
    } else if (doubt) {
      // The repeat was refused. Of the press before it nothing is known yet.
      Object.assign(doubt, { why: `${doubt.why} Tried again: ${meaning.refused}`, isLoggedOut: meaning.isLoggedOut, refused: meaning.refused });
    } else {
      return notSent(meaning.refused, meaning.isLoggedOut);
    }
    showLabel("Not known");
    tell("NO ANSWER: it may or may not have been sent", doubt.why, doubt);
    tellLooking("Looking whether it was sent …");
    return lookOn(0);
  }

  function sent(address) {
    settle("Sent");
    if (!panel.hidden) tell("SENT", "The server has committed it.", { sent: address });
    location.assign(address);
  }
  // Found by its key, after something else had been said: whoever reads that is not taken away from it.
  function sentBefore(address, { refused }) {
    settle(refused ? "The first was sent" : "Sent");
    if (refused) tell("THE FIRST WAS SENT", `What was pressed FIRST had been sent; the repeat was refused: ${refused}`, { sent: address, anew: anew() });
    else tell("SENT", "It had been sent after all.", { sent: address });
  }
  // The key stands for the first press: what was changed after it takes a form of its own.
  function sentAnother(address) {
    settle("The first was sent");
    tell("THE FIRST WAS SENT", "The first press was sent, not the changed one: of what you changed, nothing was sent.", { sent: address, anew: anew() });
  }
  function anew() {
    const fields = new URLSearchParams(pressed.choices);
    for (const name of ["idempotency_key", "made_for"]) fields.delete(name);
    return String(fields);
  }
  function settle(label) {
    isSent = true;
    doubt = null;
    stopLooking();
    lock(label);
    showBack("Leave this page");
    one("#hold-said").textContent = `${label}.`;
    tellLooking("");
  }

  function notSent(why, isLoggedOut = false) {
    body = null;
    unlock();
    tell("NOT SENT", why, { isLoggedOut });
    if (!doubt) tellLooking("");
  }

  // --- looking by the key, where nobody knows
  function stopLooking() {
    clearTimeout(looking);
    looking = null;
  }
  function lookOn(inMs) {
    stopLooking();
    looking = setTimeout(lookOnce, inMs);
  }
  async function lookOnce() {
    const began = performance.now();
    const turn = looking;
    const found = await look();
    if (turn !== looking || !doubt) return; // something else has happened meanwhile
    if (found.kill) {
      if (found.isAnother && !doubt.refused) sentAnother(found.kill);
      else if (doubt.isTold || doubt.refused) sentBefore(found.kill, doubt);
      else sent(found.kill);
      return;
    }
    if (found.isLoggedOut) {
      tell(inPanel("headline").textContent, doubt.why, { isLoggedOut: true });
      tellLooking(`It cannot be looked up: you are logged out. Log in in a new tab, and come back. Last tried ${clock()} UTC.`);
    } else if (found.trouble) {
      tellLooking(`Looking whether it was sent: ${found.trouble}. Last tried ${clock()} UTC.`);
    } else {
      missed(began);
    }
    lookOn(LOOK_EVERY_MS);
  }

  // The server says that it has no such kill. It counts once no press can be on its way any more.
  function missed(began) {
    if (doubt.missedSince === null) doubt.missedSince = began;
    const left = doubt.settlesAfter - (began - doubt.missedSince);
    if (left > 0) {
      tellLooking(`The server answers and has not got it, at ${clock()} UTC. It may still be on its way: known for certain in ${Math.ceil(left / 1000)} s.`);
      return;
    }
    if (!doubt.isTold) {
      doubt.isTold = true;
      notSent(`${doubt.why} The server has been asked since then, and has not got it.`);
    }
    tellLooking(`Looked for at ${clock()} UTC: not there.`);
  }

  // --- what fires it
  function choices() {
    const fields = new URLSearchParams(new FormData(form));
    fields.delete("csrfmiddlewaretoken");
    return fields;
  }
  // What a press asks for, without what it is said and known by.
  function scopeOf(fields) {
    const scope = new URLSearchParams(fields);
    for (const name of ["idempotency_key", "made_for", "reason"]) scope.delete(name);
    return String(scope);
  }
  function fire(by) {
    if (one("[data-choices]").disabled) return; // a form leaves out what is disabled, and without dry_run it is real
    if (isSending || isSent || (doubt && !doubt.isTold)) return;
    // Pressed anew after a press of which nothing is known to this day: a refusal may be about that one.
    if (doubt) Object.assign(doubt, { isTold: false, refused: "", settlesAfter: 0, missedSince: null });
    body = choices();
    isChanged ||= Boolean(doubt) && scopeOf(pressed.choices) !== scopeOf(body);
    pressed = { by, choices: String(body) };
    body.set(by.name, by.value); // the server sends nothing where the button and the dry run box do not agree
    send();
  }
  // A click repeats what was pressed and nothing else: another choice takes the button itself.
  function again() {
    if (body) send();
    else if (String(choices()) === pressed.choices) fire(pressed.by);
    else {
      tell("NOT SENT", "The choices have changed: press the button itself.", { isLoggedOut: !inPanel("log-in").hidden });
      buttons.find((button) => button.getClientRects().length > 0).focus();
    }
  }
  form.addEventListener("held", (event) => fire(event.target));
  form.addEventListener("unheld", () => {
    const step = one("[data-unheld]", form);
    step.open = true;
    one("[data-sure]", step).focus();
    one("[data-said]", form).textContent = "Press without holding: tick the box, then send.";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const isDry = one("[name=dry_run]", form).checked;
    const isSure = one("[data-sure]", form).checked;
    const by = event.submitter;
    const isPlain = by && by.matches("[data-hold]:not([data-hold-ready])"); // hold.js did not come
    if ((by === one("#rehearse") && isDry) || ((isPlain || (by === one("[data-send]", form) && isSure)) && !isDry)) fire(by);
  });
  inPanel("again").addEventListener("click", again);

  // --- the choices around it
  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-sure]")) one("[data-send]").disabled = !event.target.checked || isSending || isSent || body !== null;
    if (event.target.matches("[name=dry_run]")) one("[data-said]").textContent = "";
    showLine();
  });
  window.addEventListener("pageshow", () => { showLine(); showReason(); }); // a browser puts back what was ticked
  const reason = one("[name=reason]", form);
  const drill = one("[data-drill]", form);
  const showReason = () => {
    all("[data-reason]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.reason === reason.value)));
    drill.textContent = reason.value.toLowerCase().includes("drill") ? drill.dataset.drill : "";
  };
  all("[data-reason]").forEach((button) => button.addEventListener("click", () => {
    reason.value = reason.value === button.dataset.reason ? "" : button.dataset.reason;
    showReason();
  }));
  reason.addEventListener("input", showReason);
  showReason();
  showLine();

  // --- the preview above it: never higher or lower than when it was opened, and never replaced by a log-in
  const preview = one("[data-pinned]");
  function pin() {
    if (!preview) return;
    preview.style.height = "";
    const line = parseFloat(getComputedStyle(one(".reach", preview)).lineHeight);
    preview.style.height = `${Math.ceil(preview.scrollHeight + line)}px`;
    preview.dataset.pinnedAt = "";
  }
  pin();
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width) pin();
    width = window.innerWidth;
  });
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    // A poll that is refused loads the page afresh. Not while it tells what became of a press, or waits for that.
    if (event.detail.xhr.getResponseHeader("HX-Refresh") && (isSending || !panel.hidden)) event.preventDefault();
    if (event.detail.elt.id !== "reach") return;
    const isLoggedOut = Boolean(event.detail.xhr.getResponseHeader("HX-Redirect"));
    one("#logged-out").hidden = !isLoggedOut;
    if (isLoggedOut) event.preventDefault();
  });

  form.dispatchEvent(new CustomEvent("press:ready", { bubbles: true }));
})();

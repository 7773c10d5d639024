// The command palette and the list of keys. It goes to pages; nothing here sends a form that cancels an order.
(() => {
  "use strict";
  const TYPING_PAUSE = 120; // ms
  const one = (selector, root = document) => root.querySelector(selector);
  const isTyping = (element) => element.matches("input:not([type=checkbox]):not([type=radio]), textarea, select")
    || element.isContentEditable;

  // --- what is proposed
  let choices = [];
  let chosenFor = null; // the words that `choices` are for
  let marked = -1;
  let timer = 0;

  const words = () => one("#palette-words").value.trim();
  function mark(number) {
    marked = number;
    const lines = [...one("#palette-choices").children];
    lines.forEach((line, at) => line.setAttribute("aria-selected", String(at === marked)));
    const field = one("#palette-words");
    if (lines[marked]) {
      field.setAttribute("aria-activedescendant", lines[marked].id);
      lines[marked].scrollIntoView({ block: "nearest" });
    } else field.removeAttribute("aria-activedescendant");
  }
  function line(choice, at) {
    const made = document.createElement("li");
    const hint = document.createElement("small");
    Object.assign(made, { id: `palette-choice-${at}`, textContent: choice.words });
    made.setAttribute("role", "option");
    hint.textContent = choice.hint;
    made.append(" ", hint);
    made.addEventListener("click", () => follow(choice));
    return made;
  }
  function show(found, told) {
    choices = found;
    const list = one("#palette-choices");
    list.replaceChildren(...choices.map(line));
    list.hidden = choices.length === 0;
    one("#palette-words").setAttribute("aria-expanded", String(choices.length > 0));
    one("#palette-told").textContent = told;
    mark(choices.length ? 0 : -1);
  }
  async function propose() {
    const asked = words();
    const address = `${one("#palette form").dataset.choices}?q=${encodeURIComponent(asked)}`;
    try {
      const answer = await fetch(address, { headers: { Accept: "application/json" } });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      const { choices: found, told } = await answer.json();
      if (asked !== words()) return;
      chosenFor = asked;
      show(found, told);
    } catch {
      // Typed on meanwhile: a later question is under way.
      if (asked === words()) show([], "The server proposes nothing just now. Enter asks it all the same.");
    }
  }

  // --- going there
  function follow(choice) {
    if (choice.address) window.location.assign(choice.address);
    else one("#log-out").requestSubmit();
  }
  function enter(event) {
    // What was typed since the list came may mean something else: then the server decides.
    if (chosenFor !== words() || !choices[marked]) return;
    event.preventDefault();
    follow(choices[marked]);
  }
  function move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !choices.length) return;
    event.preventDefault();
    mark((marked + step + choices.length) % choices.length);
  }

  // --- opening
  function open() {
    one("#palette").showModal();
    one("#palette-words").select();
    propose();
  }
  const hasSingleKeys = () => window.localStorage.getItem("single-keys") !== "off";
  function press(event) {
    if (event.defaultPrevented || event.isComposing || isTyping(event.target) || one("dialog[open]")) return;
    const isCtrlK = (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k";
    const isSingle = !event.ctrlKey && !event.metaKey && !event.altKey && hasSingleKeys();
    if (isCtrlK || (isSingle && event.key === "/")) {
      event.preventDefault();
      open();
    } else if (isSingle && event.key === "?") one("#keys").showModal();
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (!one("#palette")) return;
    document.addEventListener("keydown", press);
    one("#open-palette").addEventListener("click", (event) => {
      event.preventDefault();
      open();
    });
    one("#palette-words").addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(propose, TYPING_PAUSE);
    });
    one("#palette-words").addEventListener("keydown", move);
    one("#palette form").addEventListener("submit", enter);
    window.addEventListener("hashchange", () => one("#palette").close()); // it led to another place of this page
    const box = one("#single-keys");
    box.checked = hasSingleKeys();
    box.addEventListener("change", () => window.localStorage.setItem("single-keys", box.checked ? "on" : "off"));
  });
})();

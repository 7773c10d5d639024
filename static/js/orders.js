// The orders of an account: what is selected, a filter that is typed and not yet applied, rows as one scrolls.
(() => {
  "use strict";
  const SELECTED_AT_MOST = 120;
  const MORE_BEFORE = "1500px 0px"; // rows are asked for before they are scrolled to
  const CHUNKS_KEPT = 10; // of a hundred rows: those that are far away are put away, or each new one costs more
  const NEAR = "4000px 0px";
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const ticked = () => all("#selection input[name=order_id]:checked");
  const isHere = () => one("#orders") !== null;

  // --- the table does not change under somebody's hand
  function showHeld() {
    const table = one("[data-holds-selection]");
    if (!table) return;
    const isHeld = table.hasAttribute("data-filter-changed") || ticked().length > 0
      || one(".filter details[open]") !== null;
    table.toggleAttribute("data-held", isHeld);
    const note = one("[data-paused]");
    if (note) note.hidden = !isHeld;
  }

  // --- selection
  function showSelection() {
    const count = ticked().length;
    const button = one("#cancel-selected");
    if (button) {
      one("[data-selected]").textContent = count ? `\u00a0(${count})` : "";
      one("[data-too-many]").hidden = count <= SELECTED_AT_MOST;
      one("#selection").toggleAttribute("data-picking", count > 0);
      button.disabled = count === 0 || count > SELECTED_AT_MOST;
    }
    const everything = one("[data-select-all]");
    if (everything) {
      everything.hidden = false;
      everything.checked = count > 0 && count === all("#selection input[name=order_id]").length;
      everything.indeterminate = count > 0 && !everything.checked;
    }
    showHeld();
  }

  document.addEventListener("change", (event) => {
    if (!isHere()) return;
    if (event.target.matches("[data-select-all]")) {
      all("#selection input[name=order_id]").forEach((box) => { box.checked = event.target.checked; });
    }
    showSelection();
  });
  document.addEventListener("toggle", showHeld, true);
  document.addEventListener("click", (event) => {
    all(".filter details[open]").forEach((box) => { if (!box.contains(event.target)) box.open = false; });
  });
  document.addEventListener("keydown", (event) => {
    const box = event.key === "Escape" && one(".filter details[open]");
    if (box) { box.open = false; one("summary", box).focus(); }
  });

  const typed = () => new URLSearchParams(new FormData(one("#filter"))).toString();
  let asked = "";
  let applied = "";

  // --- a filter that is typed and not yet applied: the red button would reach more than what is on the screen
  function holdCancel() {
    const button = one("#cancel-match");
    if (button) {
      button.removeAttribute("href");
      button.setAttribute("aria-disabled", "true");
      button.textContent = "Filtering\u2026";
    }
    one("#orders").setAttribute("data-filter-changed", "");
    showHeld();
  }
  function onFilter(event) {
    if (event.target.closest("#filter") && typed() !== applied) holdCancel();
  }
  document.addEventListener("input", onFilter);
  document.addEventListener("change", onFilter);

  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.elt.id === "filter") asked = typed();
    if (event.detail.elt.id === "poll") {
      chunksToAsk().forEach((chunk) => event.detail.formData.append("chunk", chunk));
    }
  });
  function showFiltered(event) {
    if (event.detail.requestConfig?.elt.id !== "filter") return;
    if (typed() !== asked) { holdCancel(); return; } // typed on while the answer was on its way
    applied = asked;
    one("#orders").removeAttribute("data-filter-changed");
    for (const field of all("#filter [aria-describedby]")) {
      const isWrong = one(`#${field.getAttribute("aria-describedby")}`).textContent !== "";
      if (isWrong) field.setAttribute("aria-invalid", "true"); else field.removeAttribute("aria-invalid");
    }
  }
  // What the filter shows as chosen in a closed list of choices.
  document.addEventListener("change", (event) => {
    const choices = event.target.closest("#filter details");
    if (!choices) return;
    const chosen = all("input:checked", choices).map((box) => box.parentElement.textContent.trim());
    one("summary", choices).textContent = chosen.join(", ") || "any";
  });

  // --- more rows, as one scrolls
  function askForMore(entries) {
    if (entries.some((entry) => entry.isIntersecting)) entries[0].target.dispatchEvent(new Event("more", { bubbles: true }));
  }
  const nearTheEnd = new IntersectionObserver(askForMore, { rootMargin: MORE_BEFORE });
  function watchTheEnd() {
    nearTheEnd.disconnect();
    const link = one("#more-orders");
    if (link) nearTheEnd.observe(link);
  }
  function chunksToAsk() {
    const isInView = (chunk) => {
      const { top, bottom } = chunk.getBoundingClientRect();
      return bottom > 0 && top < window.innerHeight;
    };
    const chunks = all("[data-chunk]");
    const missing = chunks.filter((chunk) => chunk.dataset.away === "near").map((chunk) => asMissing(chunk));
    if (one("#orders").hasAttribute("data-held")) return missing;
    const seen = chunks.filter((chunk) => !("away" in chunk.dataset) && isInView(chunk));
    return [...missing, ...(seen.length ? seen : chunks.slice(0, 1)).map((chunk) => chunk.dataset.chunk)];
  }
  function asMissing(chunk) {
    const [, after, upto] = JSON.parse(chunk.dataset.chunk);
    return JSON.stringify(["", after, upto]);
  }
  function putAway(chunk) {
    const isInUse = chunk.contains(document.activeElement) || one("input:checked", chunk);
    if ("away" in chunk.dataset || isInUse || all("[data-chunk]").length <= CHUNKS_KEPT) return;
    const height = `${chunk.offsetHeight}px`;
    const row = document.createElement("tr");
    row.insertCell().colSpan = one("#orders-table thead tr").cells.length;
    row.cells[0].style.height = height;
    chunk.replaceChildren(row);
    chunk.dataset.away = "far";
  }
  function bringBack(chunk) {
    if (!("away" in chunk.dataset) || one("#orders").hasAttribute("data-filter-changed")) return;
    chunk.dataset.away = "near";
    one("#poll").dispatchEvent(new Event("look"));
  }
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) (isIntersecting ? bringBack : putAway)(target);
  }, { rootMargin: NEAR });
  function watchTheChunks() {
    near.disconnect();
    all("[data-chunk]").forEach((chunk) => near.observe(chunk));
  }

  // --- copying: all that match, not only what is on the screen
  async function copy(link) {
    const said = one("#copied");
    said.textContent = "Copying\u2026";
    try {
      const answer = await fetch(link.href, { headers: { Accept: "text/plain" }, redirect: "error" });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const text = await answer.text();
      await navigator.clipboard.writeText(text);
      said.textContent = `Copied ${(text.trimEnd().split("\n").length - 2).toLocaleString("en-US")} orders.`;
    } catch (error) {
      said.textContent = `Not copied (${error.message}).`;
    }
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-copy]");
    if (!link || !navigator.clipboard) return; // without a clipboard the link opens the text
    event.preventDefault();
    copy(link);
  });

  function show(event) {
    if (!isHere()) return;
    if (event.type === "htmx:afterSwap") showFiltered(event);
    showSelection();
    watchTheEnd();
    watchTheChunks();
  }
  document.addEventListener("htmx:afterSwap", show);
  document.addEventListener("htmx:oobAfterSwap", show);
  document.addEventListener("DOMContentLoaded", (event) => {
    if (isHere()) applied = typed();
    show(event);
  });
})();

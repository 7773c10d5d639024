// The desk: find accounts among those that are there, and keep those that are picked while the desk follows.
(() => {
  "use strict";
  const PICKED_AT_MOST = 300;
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const picked = new Set(); // account numbers: rows come and go, and move when they are sorted
  const boxes = () => all("#pick input[name=account]:enabled");
  const isHere = () => one("#pick") !== null;

  // --- finding
  const sought = () => (one("#seek")?.value || "").toLowerCase().split(/\s+/).filter(Boolean);
  function isSought(row, words) {
    const name = one(".name", row);
    const text = `${one("th a", row).textContent} ${name.textContent} ${name.title}`.toLowerCase();
    return words.every((word) => text.includes(word));
  }
  function showFound() {
    const words = sought();
    let found = 0;
    const rows = all(".desk tbody tr");
    for (const row of rows) {
      const shows = isSought(row, words);
      if (row.hidden === shows) row.hidden = !shows;
      found += shows;
    }
    const count = (number) => number.toLocaleString("en-US");
    const text = words.length ? `${count(found)} of ${count(rows.length)} account${rows.length === 1 ? "" : "s"} shown` : "";
    if (one("#found").textContent !== text) one("#found").textContent = text;
  }
  function keepInAddress() {
    const address = new URL(location.href);
    const text = one("#seek").value.trim();
    if (text) address.searchParams.set("q", text); else address.searchParams.delete("q");
    history.replaceState(history.state, "", address);
    const shown = one("#desk-shows [name=q]");
    if (shown) shown.value = text;
  }

  // --- picking
  function showPicked() {
    const button = one("#cancel-picked");
    if (!button) return;
    for (const box of boxes()) {
      box.checked = picked.has(box.value);
      box.closest("tr").classList.toggle("picked", box.checked);
    }
    const ticked = boxes().filter((box) => box.checked);
    const unseen = ticked.filter((box) => box.closest("tr").hidden).length;
    const count = ticked.length;
    one("[data-picked]", button).textContent = `${count ? `${count} ` : ""}selected`;
    one("#pick").toggleAttribute("data-picking", count > 0);
    button.disabled = count === 0 || count > PICKED_AT_MOST;
    one("#clear-picked").hidden = count === 0;
    const words = [];
    if (count > PICKED_AT_MOST) words.push(`More than ${PICKED_AT_MOST} are selected: take fewer, or all.`);
    if (unseen) words.push(`${unseen} of them ${unseen === 1 ? "is" : "are"} not shown by this filter.`);
    one("#picked-words").textContent = words.join(" ");
    const shown = boxes().filter((box) => !box.closest("tr").hidden);
    const everything = one("#pick-all");
    everything.hidden = false;
    everything.checked = shown.length > 0 && shown.every((box) => box.checked);
    everything.indeterminate = !everything.checked && shown.some((box) => box.checked);
  }
  function pick(box, isPicked) {
    if (isPicked) picked.add(box.value); else picked.delete(box.value);
  }

  function show() {
    if (!isHere()) return;
    showFound();
    showPicked();
  }

  document.addEventListener("input", (event) => {
    if (event.target.id !== "seek") return;
    keepInAddress();
    show();
  });
  document.addEventListener("submit", (event) => {
    if (event.target.matches(".seek")) event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("#pick input[name=account]")) pick(event.target, event.target.checked);
    else if (event.target.id === "pick-all") {
      boxes().filter((box) => !box.closest("tr").hidden).forEach((box) => pick(box, event.target.checked));
    } else return;
    showPicked();
  });
  document.addEventListener("click", (event) => {
    if (event.target.id !== "clear-picked") return;
    picked.clear();
    showPicked();
    one("#seek").focus();
  });
  // The filter goes with the order of the rows: a link was made before it was typed.
  document.addEventListener("htmx:configRequest", (event) => {
    if (!event.detail.elt.matches("#desk .sort, #desk #refresh")) return;
    const address = new URL(event.detail.path, location.href);
    address.searchParams.set("q", one("#seek").value.trim());
    event.detail.path = `${address.pathname}${address.search}`;
  });

  let isDue = false;
  function showSoon() {
    if (isDue) return;
    isDue = true;
    queueMicrotask(() => { isDue = false; show(); });
  }
  document.addEventListener("htmx:afterSwap", showSoon);
  document.addEventListener("htmx:oobAfterSwap", showSoon);
  document.addEventListener("DOMContentLoaded", () => {
    show();
  });
})();

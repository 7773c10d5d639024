// A line for the shell, and the button beside it that copies it.
(() => {
  "use strict";
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const line = button.parentElement.querySelector("code");
    getSelection().selectAllChildren(line);
    try {
      await navigator.clipboard.writeText(line.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Selected: copy it"; // a browser gives the clipboard to no page without TLS
    }
  });
})();

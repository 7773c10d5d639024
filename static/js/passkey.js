// Say on the page that the browser gave no passkey; allauth's script only tells the console.
(function () {
  "use strict";
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    for (const place of document.querySelectorAll("[data-passkey-error]")) {
      place.hidden = false;
    }
  });
})();

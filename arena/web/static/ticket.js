// Takes the code of a ticket from the address, where nobody else sees it, and sends it.
(() => {
  "use strict";
  const form = document.getElementById("ticket");
  function take() {
    const code = decodeURIComponent(location.hash.slice(1));
    if (!code) return;
    history.replaceState(null, "", location.pathname); // it stays in no history
    form.elements.code.value = code;
    const other = document.getElementById("other");
    if (other) other.open = true;
    if (form.dataset.asks === undefined) form.submit(); // else this phone has a card already: its holder decides
  }
  addEventListener("hashchange", take);
  take();
})();

// The space bar takes the next step, as the large button does.
(() => {
  "use strict";
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target !== document.body && target.id !== "main") return; // somebody types, or presses another button
    const button = document.getElementById("next");
    if (!button) return;
    event.preventDefault();
    button.click();
  });
})();

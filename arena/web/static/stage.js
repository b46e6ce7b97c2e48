// The stage: verses as large as they fit, typed out before their vote; votes as dots; F for the whole screen.
(() => {
  "use strict";
  const script = document.currentScript;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const SMALLEST = 1 / 60, LARGEST = 1 / 11; // of the screen's height: letters of a verse
  const WHOLE_LINES = 1 / 30; // down to this size, smaller letters are better than a line that wraps
  const DOTS = 400; // more votes are a number only
  let main = document.querySelector("main");

  const fonts = ["normal", "italic"].map(async (style) => {
    try {
      const response = await fetch(script.dataset[style]);
      document.fonts.add(await new FontFace("Stage", await response.arrayBuffer(), { style }).load());
    } catch { /* a serif of the system */ }
  });

  function fits(verses, size) {
    let whole = true;
    for (const verse of verses) {
      verse.style.fontSize = size + "px";
      const box = verse.parentElement;
      if (box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1) return "no";
      const line = parseFloat(getComputedStyle(verse).lineHeight);
      if ([...verse.children].some((part) => part.offsetHeight > 1.5 * line)) whole = false;
    }
    return whole ? "whole" : "wrapped";
  }

  function fit() { // by trying: what a line takes depends on script, font and screen
    const verses = [...main.querySelectorAll(".fit .verse")];
    if (!verses.length) return;
    const search = (good) => {
      let low = SMALLEST * innerHeight, high = LARGEST * innerHeight;
      for (let step = 0; step < 10; step += 1) {
        const middle = (low + high) / 2;
        if (good(fits(verses, middle))) low = middle; else high = middle;
      }
      return low;
    };
    const whole = search((answer) => answer === "whole");
    const size = whole >= WHOLE_LINES * innerHeight ? whole : search((answer) => answer !== "no");
    for (const verse of verses) verse.style.fontSize = size + "px";
  }

  let typing = 0;
  function type() { // each letter stands in its place from the beginning, and is seen when its time comes
    clearInterval(typing);
    const scene = main.querySelector("[data-from][data-to]");
    if (!scene || still) return;
    const from = Number(scene.dataset.from) * 1000, to = Number(scene.dataset.to) * 1000;
    const skew = Number(main.dataset.now) * 1000 - Date.now();
    const parts = [];
    for (const verse of scene.querySelectorAll(".verse")) {
      const walk = document.createTreeWalker(verse, NodeFilter.SHOW_TEXT);
      const nodes = [];
      while (walk.nextNode()) nodes.push(walk.currentNode);
      parts.push(nodes.map((node) => {
        const hidden = document.createElement("span");
        hidden.className = "unseen";
        node.after(hidden);
        return { node, hidden, letters: [...node.data] };
      }));
    }
    const show = () => {
      const share = Math.max(0, Math.min(1, (Date.now() + skew - from) / (to - from)));
      parts.forEach((verse, index) => {
        const total = verse.reduce((sum, part) => sum + part.letters.length, 0);
        let left = Math.round(total * Math.max(0, Math.min(1, (share * parts.length - index) * 1.15)));
        for (const part of verse) {
          const count = Math.min(left, part.letters.length);
          left -= count;
          part.node.data = part.letters.slice(0, count).join("");
          part.hidden.textContent = part.letters.slice(count).join("");
        }
      });
      if (share === 1) clearInterval(typing);
    };
    show();
    typing = setInterval(show, 60);
  }

  function dots() {
    const row = main.querySelector(".dots");
    if (!row) return;
    const count = Number(row.previousElementSibling.querySelector("[data-live]").textContent.replace(/\D/g, ""));
    const wanted = count > DOTS ? 0 : count;
    while (row.childElementCount > wanted) row.lastElementChild.remove();
    while (row.childElementCount < wanted) row.append(document.createElement("i"));
  }

  function drops() { // confetti in ink
    const scene = main.querySelector(".champion");
    if (!scene || still) return;
    const canvas = document.createElement("canvas");
    canvas.width = innerWidth;
    canvas.height = innerHeight;
    canvas.setAttribute("aria-hidden", "true");
    scene.append(canvas);
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const inks = ["--ink", "--a", "--b"].map((name) => style.getPropertyValue(name).trim());
    const all = Array.from({ length: 140 }, (_, number) => ({
      x: Math.random() * canvas.width, y: -Math.random() * canvas.height, size: 2 + Math.random() * innerHeight / 120,
      speed: (0.12 + Math.random() * 0.25) * canvas.height, sway: Math.random() * 6, ink: inks[number % inks.length],
    }));
    const start = performance.now();
    let before = start;
    const draw = (now) => {
      pen.clearRect(0, 0, canvas.width, canvas.height);
      for (const drop of all) {
        drop.y += drop.speed * (now - before) / 1000;
        pen.fillStyle = drop.ink;
        pen.beginPath();
        pen.ellipse(drop.x + drop.size * Math.sin(drop.sway + now / 600), drop.y, drop.size * 0.7, drop.size, 0, 0, 7);
        pen.fill();
      }
      before = now;
      if (now - start < 9000 && canvas.isConnected) requestAnimationFrame(draw); else canvas.remove();
    };
    requestAnimationFrame(draw);
  }

  function clock() { // the last ten seconds are felt
    const until = main.querySelector("header .until");
    if (!until) return;
    const left = Number(until.dataset.until) - (Date.now() + Number(main.dataset.now) * 1000 - loaded) / 1000;
    until.classList.toggle("last", left > 0 && left <= 10);
  }

  let loaded = Date.now();
  const SIGNS = { heart: "\u2665", star: "\u2605", mark: "!" };
  let counted = null; // reactions so far
  async function reactions() { // those of the last second float upwards
    const scene = main.querySelector("[data-reactions]");
    if (!scene || still) { counted = null; return; }
    let counts;
    try {
      const response = await fetch(scene.dataset.reactions, { cache: "no-store" });
      if (!response.ok) return;
      counts = await response.json();
    } catch { return; }
    for (const [name, sign] of Object.entries(SIGNS)) {
      const fresh = Math.min(12, counted ? counts[name] - counted[name] : 0);
      for (let index = 0; index < fresh; index += 1) {
        const element = document.createElement("span");
        element.className = "reaction";
        element.setAttribute("aria-hidden", "true");
        element.textContent = sign;
        element.style.left = 5 + 90 * Math.random() + "vw";
        element.style.animationDelay = Math.random() + "s";
        element.addEventListener("animationend", () => element.remove());
        scene.append(element);
      }
    }
    counted = counts;
  }
  setInterval(reactions, 1000);

  function begin() {
    main = document.querySelector("main");
    loaded = Date.now();
    fit();
    type();
    dots();
    drops();
    const live = main.querySelector(".votes [data-live]");
    if (live) new MutationObserver(dots).observe(live, { childList: true, characterData: true, subtree: true });
  }

  document.addEventListener("fresh", begin);
  addEventListener("resize", fit);
  setInterval(clock, 200);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "f" && event.key !== "F" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.fullscreenElement) document.exitFullscreen(); else document.documentElement.requestFullscreen();
  });
  Promise.all(fonts).then(begin);
})();

// Draws the race of the trainings, a line for each run, and draws it again when the event says that there is something new.
(() => {
  "use strict";
  const WORDS = JSON.parse(document.currentScript.dataset.words || "{}"); // sentences in the page's language
  const t = (message, values = {}) => (WORDS[message] || message).replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const number = (value, digits, least = digits) => value.toLocaleString(document.documentElement.lang, { minimumFractionDigits: least, maximumFractionDigits: digits });
  const PAUSE = 10000; // ms between two requests of a phone
  const SAMPLE = 9000; // ms that one sample is shown
  const FIRST = 4; // curves that always have a label on the stage
  const SPREAD = 3000; // ms over which phones ask
  const BITS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 3, 3.5, 4, 5, 6, 8, 12, 16, 24, 32];
  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1440]; // minutes between two ticks
  let root = null, race = null, tag = "", beat = "", asked = 0, timer = 0, turn = 0, turning = 0;
  let before = new Map(); // minutes of each curve when it was drawn last
  let fresh = new Set(); // curves with a new point

  const main = () => document.querySelector("main");
  const onStage = () => root.dataset.stage !== undefined;
  function own() {
    const wanted = decodeURIComponent(location.hash.slice(1)).replace(/[-+]/g, " ").toLowerCase();
    const named = race && race.curves.find((curve) => curve.nickname.toLowerCase() === wanted);
    if (named) return named.nickname;
    try { if (localStorage.race) return localStorage.race; } catch { /* nothing is kept */ }
    return root.dataset.own || "";
  }

  function make(name, attributes, parent, text) {
    const element = document.createElementNS(parent.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  // Places of labels: as near as possible to where they belong, none over another, none outside.
  function place(labels, gap, top, bottom) {
    const groups = [];
    for (const label of labels.sort((a, b) => a.y - b.y)) {
      groups.push({ labels: [label], y: label.y });
      for (;;) {
        const last = groups[groups.length - 1], other = groups[groups.length - 2];
        last.y = Math.max(top + gap * (last.labels.length - 1) / 2, Math.min(bottom - gap * (last.labels.length - 1) / 2, last.y));
        if (!other || last.y - other.y >= gap * (last.labels.length + other.labels.length) / 2) break;
        const count = other.labels.length + last.labels.length;
        other.y = (other.y * other.labels.length + last.y * last.labels.length) / count;
        other.labels.push(...last.labels);
        groups.pop();
      }
    }
    for (const group of groups) group.labels.forEach((label, index) => { label.at = group.y + gap * (index - (group.labels.length - 1) / 2); });
  }

  function scales(curves, box) {
    const all = curves.flatMap((curve) => curve.points);
    const longest = Math.max(0.5, ...curves.map((curve) => curve.minutes), ...all.map((point) => point.minutes));
    const low = Math.min(...all.map((point) => point.bits)) * 0.97, high = Math.max(low * 1.3, ...all.map((point) => point.bits));
    return {
      longest, low, high,
      x: (minutes) => box.left + (box.right - box.left) * minutes / longest,
      y: (bits) => box.bottom - (box.bottom - box.top) * Math.log(bits / low) / Math.log(high / low),
    };
  }

  function axes(svg, scale, box, em) {
    const wide = (box.right - box.left) / (5 * em), step = STEPS.find((one) => scale.longest / one <= Math.max(2, wide)) || 2880;
    let before = -Infinity;
    for (const bits of BITS.filter((one) => one >= scale.low && one <= scale.high).reverse()) {
      const y = scale.y(bits);
      if (Math.abs(y - before) < 1.3 * em) continue;
      before = y;
      make("path", { d: `M${box.left} ${y}H${box.right}`, class: "grid" }, svg);
      make("text", { x: box.left - 0.5 * em, y: y + 0.3 * em, class: "tick", "text-anchor": "end" }, svg, number(bits, 2, 0));
    }
    for (let minutes = 0; minutes <= scale.longest * 1.0001; minutes += step) {
      const x = scale.x(minutes);
      if (minutes && x > box.right - 5 * em) continue; // the name of the axis is there
      make("text", { x, y: box.bottom + 1.5 * em, class: "tick", "text-anchor": "middle" }, svg, number(minutes, 1, 0));
    }
    make("path", { d: `M${box.left} ${box.bottom}H${box.right}`, class: "axis" }, svg);
    make("text", { x: box.right, y: box.bottom + 1.5 * em, class: "name", "text-anchor": "end" }, svg, t("minutes"));
    make("text", { x: box.left - 2.4 * em, y: box.top - 0.7 * em, class: "name" }, svg, t("bits per character"));
  }

  function line(svg, curve, kind, scale) {
    let live = "", late = "", last = null, wasLive = null;
    for (const point of curve.points) {
      const at = `${scale.x(point.minutes).toFixed(1)} ${scale.y(point.bits).toFixed(1)}`;
      const from = last === null ? "M" + at : wasLive === point.live ? "" : "M" + last;
      const part = from + (last === null ? "" : "L" + at);
      if (point.live) live += part; else late += part;
      last = at;
      wasLive = point.live;
    }
    const group = make("g", { class: "curve " + kind }, svg);
    if (live) make("path", { d: live }, group);
    if (late) make("path", { d: late, class: "late" }, group);
    return group;
  }

  function draw() {
    if (!root || !race) return;
    const curves = race.curves.filter((curve) => curve.points.length), mine = own(), says = speaker();
    const svg = root.querySelector("svg").cloneNode(false); // the page has an empty one
    const width = root.clientWidth, height = root.clientHeight, em = parseFloat(getComputedStyle(root).fontSize);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("role", "img");
    const box = { left: 3.2 * em, right: width - (onStage() ? 11 : 1) * em, top: 2 * em, bottom: height - 2.2 * em };
    if (curves.length && width > 100 && height > 100) {
      svg.setAttribute("aria-label", t("Trainings: {count}. The lowest loss is {bits} bits per character, of {name}.", { count: curves.length, bits: number(best(curves[0]), 2), name: curves[0].nickname }));
      const scale = scales(curves, box), labels = [];
      axes(svg, scale, box, em);
      const named = chosen(curves, scale, 1.3 * em);
      for (let rank = curves.length - 1; rank >= 0; rank -= 1) {
        const curve = curves[rank], name = curve.nickname, end = curve.points[curve.points.length - 1];
        const kind = [rank === 0 ? "first" : rank < 3 ? "top" : "", name === mine ? "own" : "", name === says ? "says" : ""].join(" ").trim();
        const group = line(svg, curve, kind, scale), x = scale.x(end.minutes), y = scale.y(end.bits);
        if (fresh.has(name)) make("circle", { cx: x, cy: y, r: 0.55 * em, class: "glow" }, group);
        make("circle", { cx: x, cy: y, r: (kind ? 0.24 : 0.15) * em }, group);
        if (named.has(name) || name === mine || name === says) labels.push({ name, kind, x, y, bits: end.bits });
      }
      place(labels, 1.25 * em, box.top + em / 2, box.bottom - em / 2);
      for (const label of labels) write(svg, label, box, em);
      if (onStage() && curves.length > labels.length) make("text", { x: box.right + 1.6 * em, y: box.bottom + 1.5 * em, class: "name" }, svg, t("and {count} more", { count: curves.length - labels.length }));
    }
    root.replaceChildren(svg);
  }

  // The first ones have labels, and others whose line ends where there is room.
  function chosen(curves, scale, gap) {
    const names = new Set(), heights = [];
    curves.forEach((curve, rank) => {
      const y = scale.y(curve.points[curve.points.length - 1].bits);
      if (rank && !onStage() || rank >= FIRST && heights.some((other) => Math.abs(other - y) < gap)) return;
      names.add(curve.nickname);
      heights.push(rank < FIRST ? y - rank * gap : y); // they push each other upwards
    });
    return names;
  }

  function write(svg, label, box, em) {
    if (onStage()) {
      make("path", { d: `M${label.x + 0.5 * em} ${label.y}H${box.right + 0.3 * em}L${box.right + 1.3 * em} ${label.at}`, class: "leader " + label.kind }, svg);
      make("text", { x: box.right + 1.6 * em, y: label.at + 0.32 * em, class: "label " + label.kind }, svg, label.name);
    } else { // on a phone a name stands over the end of its line
      const left = label.x > (box.left + box.right) / 2;
      make("text", { x: label.x + (left ? 0.3 : -0.3) * em, y: label.at - 0.6 * em, class: "label over " + label.kind, "text-anchor": left ? "end" : "start" }, svg, label.name);
    }
  }

  const best = (curve) => Math.min(...curve.points.map((point) => point.bits));
  const speakers = () => (race ? race.curves.filter((curve) => curve.sample.length) : []);
  const speaker = () => { const all = speakers(); return all.length ? all[turn % all.length].nickname : ""; };

  function sample() { // one after another
    const place = main().querySelector(".race-sample"), curve = speakers().find((one) => one.nickname === speaker());
    if (!place || !root) return;
    place.replaceChildren();
    if (!curve) return;
    for (const text of curve.sample) {
      const element = document.createElement("p");
      element.dir = "auto";
      element.textContent = text;
      place.append(element);
    }
    const name = document.createElement("cite");
    name.textContent = t("{name}, after {minutes} minutes", { name: curve.nickname, minutes: number(curve.minutes, curve.minutes < 10 ? 1 : 0) });
    place.append(name);
  }

  function list() {
    const place = main().querySelector(".race-list"), mine = own();
    if (!place || !race) return;
    place.replaceChildren(...race.curves.map((curve) => {
      const item = document.createElement("li"), button = document.createElement("button"), loss = document.createElement("span");
      item.className = curve.nickname === mine ? "own" : "";
      Object.assign(button, { type: "button", className: "plain name", textContent: curve.nickname });
      button.dataset.name = curve.nickname;
      button.setAttribute("aria-pressed", String(curve.nickname === mine));
      loss.className = "num";
      loss.textContent = curve.points.length ? number(best(curve), 2) : "–";
      item.append(button, loss);
      return item;
    }));
  }

  async function ask() {
    asked = Date.now();
    try {
      const response = await fetch(root.dataset.race, { cache: "no-cache", headers: tag ? { "If-None-Match": tag } : {} });
      if (response.status !== 200) return;
      race = await response.json();
      tag = response.headers.get("ETag") || "";
    } catch { return; } // the next change asks again
    const known = before;
    before = new Map(race.curves.map((curve) => [curve.nickname, curve.points.length && curve.points[curve.points.length - 1].minutes]));
    const changed = [...before.keys()].filter((name) => known.size && known.get(name) !== before.get(name));
    if (changed.length) fresh = new Set(changed); // until others are newer
    draw();
    list();
    if (!main().querySelector(".race-sample *")) sample();
  }

  function soon() {
    if (timer || !root) return;
    const wait = onStage() ? 0 : Math.max(0, asked + PAUSE - Date.now()) + Math.random() * SPREAD;
    timer = setTimeout(() => { timer = 0; if (root) ask(); }, wait);
  }

  function begin() {
    root = document.querySelector("[data-race]");
    clearInterval(turning);
    if (!root) return;
    if (race) { draw(); list(); sample(); }
    ask();
    turning = setInterval(() => { turn += 1; sample(); draw(); }, SAMPLE);
  }

  document.addEventListener("state", (event) => {
    const now = JSON.stringify([event.detail.race, event.detail.version]);
    if (now !== beat) soon(); // the first time, too: the curves may be older than this state
    beat = now;
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".race-list button");
    if (!button) return;
    const name = button.dataset.name || button.textContent;
    if (location.hash) history.replaceState(null, "", location.pathname);
    try { if (localStorage.race === name) delete localStorage.race; else localStorage.race = name; } catch { /* nothing is kept */ }
    draw();
    list();
  });
  document.addEventListener("fresh", begin);
  addEventListener("resize", draw);
  begin();
})();

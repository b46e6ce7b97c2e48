// Listens for changes of the event, or polls its state, and follows them. Every page works without this script.
(() => {
  "use strict";
  const EVERY = 4000; // ms between two polls; with jitter, so that phones do not ask at the same moment
  const LONGEST = 30000;
  const KEPT = 64; // votes that the browser remembers
  const DEAF = 6000; // ms without a first event: a proxy collects them
  const SILENT = 40000; // ms without any: the connection is dead
  const { state: STATE, events: EVENTS, words } = document.currentScript.dataset;
  const WORDS = JSON.parse(words || "{}"); // sentences in the page's language, by the English ones
  const t = (message) => WORDS[message] || message;
  const is = (name) => document.body.classList.contains(name);
  const ROOM = location.protocol.slice(0, -1) === "http" ? " " + t("Is this phone still in the room’s Wi-Fi? Stay in it, even if it has no internet.") : "";
  const AWAY = is("console") ? "The server does not respond, so what you see here is old. Look at the terminal with `arena serve`: if it has ended, start it again. Votes that were confirmed are safe, and this page goes on by itself."
    : is("stage") ? t("The server does not respond. This page keeps trying.")
    : t("The server does not respond. This page keeps trying; a vote that was confirmed is safe.") + ROOM;
  const net = document.getElementById("net");
  let main = document.querySelector("main");
  let etag = "";
  let state = null;
  let failures = 0;
  let timer = 0;
  let skew = 0; // server's clock minus ours, ms
  let stream = null;
  let heard = 0; // when the last event came; 0: nothing is heard, so ask
  let retry = 5000; // ms until the next try to listen, about
  let token = "";

  const within = (ms) => (AbortSignal.timeout ? AbortSignal.timeout(ms) : undefined);
  const jitter = (ms) => ms * (0.8 + 0.4 * Math.random());
  const say = (text) => { if (net.textContent !== text) net.textContent = text; };
  const text = (v) => (v === null || v === undefined ? "" : typeof v === "number" ? String(Math.floor(v)) : String(v));
  const keyOf = (s) => { // as phase_key in public.py
    const m = s.match || {};
    return [s.phase, m.id, m.poll, m.poll_round, m.opens_at, m.closes_at, m.paused ? "paused" : null, s.round && s.round.matches, s.practice ? "practice" : null, s.last, s.matches.closed, s.next, s.closes_at, s.epoch, s.edits, s.admission, s.address, s.heats ? "heats" : null, s.race ? "race" : null].map(text).join("|");
  };
  const setClock = () => { skew = Number(main.dataset.now) * 1000 - Date.now(); };

  function duration(seconds) {
    if (seconds >= 5400) return t("{hours} hours").replace("{hours}", Math.round(seconds / 3600));
    const minutes = Math.floor(seconds / 60);
    return minutes + ":" + String(Math.floor(seconds % 60)).padStart(2, "0");
  }

  function tick() {
    for (const element of main.querySelectorAll("[data-until]")) {
      const left = Number(element.dataset.until) - (Date.now() + skew) / 1000;
      element.textContent = left > 0 ? duration(left) : element.dataset.over || "0:00";
      if (left <= 0 && !element.dataset.passed) { // a vote begins or ends: look soon, not all at once
        element.dataset.passed = "1";
        if (left > -5) { clearTimeout(timer); timer = setTimeout(poll, 200 + Math.random() * 800); }
      }
    }
  }

  const busy = () => {
    const active = document.activeElement;
    const typed = (input) => input.type !== "hidden" && (input.value !== input.defaultValue || input.checked !== input.defaultChecked);
    if ([...main.querySelectorAll("input, textarea")].some(typed)) return true;
    if (active && main.contains(active) && /^(INPUT|SELECT|TEXTAREA)$/.test(active.tagName)) return true;
    return main.querySelector("[data-busy]") !== null;
  };

  async function refresh() {
    const response = await fetch(location.href, { cache: "no-store", signal: within(15000) });
    if (!response.ok) throw response;
    swap(await response.text());
  }

  function swap(text, pushed) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.querySelector("main");
    if (!fresh || busy()) return;
    if (pushed && fresh.dataset.admission !== main.dataset.admission) return; // perhaps this phone may not vote now: it asks
    if (pushed && (fresh.dataset.key === main.dataset.key || main.dataset.voted && fresh.dataset.ballot === main.dataset.ballot)) return;
    const open = [...main.querySelectorAll("details[open][id]")].map((element) => element.id);
    const focusedId = document.activeElement && main.contains(document.activeElement) ? document.activeElement.id : "";
    const hadFocus = main.contains(document.activeElement);
    const isNew = fresh.dataset.key !== main.dataset.key || fresh.dataset.part !== main.dataset.part;
    const problem = main.querySelector("#problem"); // stays until its link is followed
    if (problem && fresh.dataset.page) fresh.querySelector("h1").after(problem);
    main.replaceWith(fresh);
    main = fresh;
    document.title = page.title;
    for (const id of open) { const element = document.getElementById(id); if (element) element.open = true; }
    if (main.dataset.now) setClock();
    tokens();
    tick();
    document.dispatchEvent(new Event("fresh"));
    if (isNew) {
      if (main.dataset.top !== undefined) scrollTo(0, 0);
      const heading = main.querySelector("h1");
      if (heading) document.getElementById("announcement").textContent = heading.textContent;
    }
    keepVote();
    if (hadFocus) { const back = (focusedId && document.getElementById(focusedId)) || main; back.focus({ preventScroll: true }); }
  }

  function tokens() { // a page that was sent to everybody has no token for its form
    token = main.dataset.token || token;
    for (const field of main.querySelectorAll('[name="token"][value=""]')) field.value = token;
  }

  // A confirmed vote is kept, and sent again if the event goes on from a backup (a new epoch) that does not have it.
  async function keepVote() {
    const { ballot, epoch, voted } = main.dataset;
    if (!ballot) return;
    try {
      if (voted) remember(voted);
      const kept = keptVotes()[ballot] || {};
      const button = document.getElementById("vote-" + kept.voted);
      if (voted || !kept.voted || kept.epoch === epoch || !button) return;
      const data = new URLSearchParams(new FormData(button.form));
      data.set("side", kept.voted);
      const response = await fetch(button.form.action, { method: "POST", body: data, signal: within(15000) });
      if (response.ok) await refresh();
    } catch { /* the voter can tap again: the page shows that there is no vote */ }
  }

  const keptVotes = () => JSON.parse(localStorage.votes || "{}");
  function remember(voted) { // of several matches that are open at once, too
    const { ballot, epoch } = main.dataset;
    const kept = keptVotes();
    if (!ballot || (kept[ballot] && kept[ballot].epoch === epoch && kept[ballot].voted === voted)) return;
    kept[ballot] = { epoch, voted };
    for (const name of Object.keys(kept).slice(0, -KEPT)) delete kept[name];
    localStorage.votes = JSON.stringify(kept);
  }

  // A vote is sent without leaving the page, and again and again while the network is away.
  async function vote(form, side) {
    form.dataset.busy = "1"; // the page stays
    const data = new URLSearchParams(new FormData(form));
    data.set("side", side);
    for (let pause = 1000; ; pause = Math.min(8000, 2 * pause)) {
      try {
        const response = await fetch(form.action, { method: "POST", body: data, signal: within(15000) });
        if (response.status < 500) {
          delete form.dataset.busy;
          if (response.ok) {
            say("");
            try { remember(side); } catch { /* the page works without */ }
            await refresh();
          } else sendPlainly(form, side); // the page says why it was refused
          return;
        }
      } catch { /* no network */ }
      say(t("Your vote is not sent yet. This page keeps trying.") + (pause > 1000 ? ROOM : ""));
      await new Promise((done) => setTimeout(done, jitter(pause)));
    }
  }
  function sendPlainly(form, side) {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name: "side", value: side });
    form.append(field);
    form.submit();
  }

  async function poll() {
    if (!main.dataset.now) return; // a page that never changes
    if (heard && Date.now() - heard > SILENT) stop(retry);
    let wait = EVERY;
    try {
      if (main.dataset.every || Number(main.dataset.turn) * 1000 < Date.now() + skew) {
        wait = main.dataset.every ? Number(main.dataset.every) * 1000 : EVERY;
        await refresh();
      } else {
        if (!heard) await ask();
        await follow(failures === 0);
      }
      failures = 0;
      say("");
    } catch (error) {
      failures += 1;
      wait = Math.min(LONGEST, EVERY * 2 ** Math.min(failures, 4));
      const after = error.headers && Number(error.headers.get("Retry-After"));
      if (after > 0) wait = Math.max(wait, after * 1000);
      if (failures > 1) say(AWAY);
    }
    clearTimeout(timer); // one may have been set meanwhile, when the page came to the front
    timer = setTimeout(poll, jitter(wait));
  }

  async function ask() {
    const headers = etag ? { "If-None-Match": etag } : {};
    const response = await fetch(STATE, { headers, cache: "no-store", signal: within(8000) });
    if (response.status === 200) {
      state = await response.json();
      etag = response.headers.get("ETag") || "";
    } else if (response.status !== 304) throw response;
  }

  let following = false;
  async function follow(spread) { // bring the page to the state
    if (!state || following) return;
    if (keyOf(state) === main.dataset.key) {
      document.dispatchEvent(new CustomEvent("state", { detail: state }));
      for (const element of main.querySelectorAll("[data-live]")) {
        const at = (path) => path.split(".").reduce((part, name) => part && part[name], state);
        const value = element.dataset.live.split("+").map(at).reduce((sum, part) => sum + part);
        if (typeof value === "number" && value === value) element.textContent = value.toLocaleString(document.documentElement.lang);
      }
      return;
    }
    following = true;
    try {
      if (spread) await new Promise((done) => setTimeout(done, Math.random() * Number(main.dataset.spread || 0)));
      if (keyOf(state) !== main.dataset.key) await refresh();
    } finally { following = false; }
  }

  // Changes come by themselves. Where they do not, or while the connection is lost, the page asks.
  function listen() {
    if (stream || document.hidden || !window.EventSource || !EVENTS || !main.dataset.now) return;
    const source = stream = new EventSource(EVENTS);
    const hear = (handle) => (event) => {
      if (source !== stream) return;
      heard = Date.now();
      retry = 5000;
      handle(event);
    };
    setTimeout(() => { if (source === stream && !heard) stop(120000); }, DEAF);
    source.onerror = () => { if (source === stream) stop(retry = Math.min(60000, 2 * retry)); };
    source.addEventListener("beat", hear(() => {}));
    source.addEventListener("end", hear(() => stop(400)));
    source.addEventListener("page", hear((event) => { if (main.dataset.push !== undefined) swap(JSON.parse(event.data), true); }));
    source.addEventListener("state", hear((event) => {
      const before = state;
      state = JSON.parse(event.data);
      etag = "";
      if (main.dataset.every && before && before.version !== state.version) soon(100);
      else follow(true).catch(() => {});
    }));
  }
  function stop(pause) { // the next try is not at the moment of all others
    if (stream) stream.close();
    stream = null;
    if (heard && !document.hidden) soon(jitter(EVERY));
    heard = 0;
    if (pause) setTimeout(listen, pause * (0.2 + 1.6 * Math.random()));
  }
  function soon(ms) { clearTimeout(timer); timer = setTimeout(poll, ms); }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) stop(0);
    else { soon(Math.random() * 300); listen(); }
  });
  document.addEventListener("submit", (event) => { // a double tap sends a form once
    const form = event.target;
    if (event.defaultPrevented) return;
    if (form.dataset.sent) event.preventDefault();
    else if (event.submitter && event.submitter.name === "sign") { // a reaction: nothing follows from it
      event.preventDefault();
      const data = new URLSearchParams(new FormData(form));
      data.set("sign", event.submitter.value);
      fetch(form.action, { method: "POST", body: data, signal: within(5000) }).catch(() => {});
    } else if (event.submitter && event.submitter.name === "side") {
      event.preventDefault();
      vote(form, event.submitter.value);
    }
    form.dataset.sent = "1";
    setTimeout(() => { delete form.dataset.sent; }, 3000);
  });
  addEventListener("storage", (event) => { if (event.key === "votes" && main.dataset.ballot) refresh().catch(() => {}); });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  if (main.dataset.page) history.replaceState(null, "", main.dataset.page); // after a POST, ask the page itself again
  if (main.dataset.now) setClock();
  tokens();
  tick();
  keepVote();
  listen();
  setInterval(tick, 500);
  timer = setTimeout(poll, jitter(EVERY));
})();

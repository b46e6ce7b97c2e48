// The stage's champion, written live: the screen's own machine computes the verse, and the letters appear as it does.
//
// If that is not possible (too large, no network, no time), the letters appear by the clock. Only letters with ink are
// counted, so that line breaks and indentation may be laid out in any way.

import { download } from "./download.js";
import { t } from "./words.js";

const LETTERS_A_SECOND = 16; // at most: the room reads along
const PATIENCE = 8000; // ms until the first letter; then the letters come by the clock
const LONGEST = 120000; // ms that the machine may compute after the letters are all there
const TICK = 60; // ms
const script = document.currentScript;
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
let writing = null;

/** One champion: what is computed, and what is shown. */
class Champion {
  constructor(scene) {
    this.scene = scene;
    this.entry = scene.dataset.entry;
    this.abort = new AbortController();
    this.written = 0; // letters that are computed
    this.shown = 0;
    this.isSame = false;
    this.letters = 0;
    this.started = performance.now();
  }

  /** Compute the verse in a worker. */
  async compute() {
    const { bundle, bytes } = this.scene.dataset;
    try {
      if (!(Number(bytes) <= Number(script.dataset.most))) throw new Error("too large");
      const file = await download(bundle, this.abort.signal, () => {}, () => {});
      if (this.abort.signal.aborted) return;
      this.worker = new Worker(script.dataset.worker);
      this.worker.onmessage = ({ data }) => this.heard(data);
      this.worker.onerror = () => this.giveUp();
      this.worker.postMessage({ read: file });
    } catch {
      this.giveUp();
    }
  }

  heard(data) {
    if (data.claim) this.worker.postMessage({ write: true });
    else if (data.token && data.token.same) this.written += inkIn(data.token.text);
    else if (data.written) {
      this.isSame = data.written.same;
      this.isWritten = true;
      this.worker.terminate(); // the server has checked what rounding could change
      if (!this.isSame) this.giveUp();
    } else if (data.refused || data.broken) this.giveUp();
  }

  /** Let the clock write instead. */
  giveUp() {
    this.hasFailed = true;
    this.worker?.terminate();
    this.byClock = true;
  }

  /** Hide the letters of the verse, each in its place; those of the prompt stay. */
  hide() {
    const walk = document.createTreeWalker(this.scene.querySelector(".verse"), NodeFilter.SHOW_TEXT);
    const nodes = [];
    while (walk.nextNode()) if (!walk.currentNode.parentElement.closest("i")) nodes.push(walk.currentNode);
    this.parts = nodes.map((node) => {
      const hidden = document.createElement("span");
      hidden.className = "unseen";
      node.after(hidden);
      return { node, hidden, letters: [...node.data] };
    });
    this.letters = this.parts.reduce((sum, part) => sum + inkIn(part.letters.join("")), 0);
  }

  show(count) {
    let left = count;
    for (const part of this.parts) {
      let end = 0;
      while (end < part.letters.length && (left > 0 || !inkIn(part.letters[end]))) {
        left -= inkIn(part.letters[end]);
        end += 1;
      }
      part.node.data = part.letters.slice(0, end).join("");
      part.hidden.textContent = part.letters.slice(end).join("");
    }
  }

  begin() {
    this.hide();
    this.show(0);
    this.compute();
    this.timer = setInterval(() => this.tick(), TICK);
  }

  tick() {
    if (!this.scene.isConnected) return this.end();
    if (this.written === 0 && performance.now() - this.started > PATIENCE) this.byClock = true;
    const known = this.byClock ? this.letters : this.written;
    if (this.shown < known) {
      this.shown = Math.min(known, this.shown + LETTERS_A_SECOND * TICK / 1000);
      this.show(Math.floor(this.shown));
    }
    if (this.shown < this.letters && !(this.isWritten && this.shown >= known)) return undefined;
    this.show(Infinity);
    if (this.isWritten || this.hasFailed || performance.now() - this.started > LONGEST) {
      if (this.isSame) this.scene.querySelector(".again").textContent = t("Written again just now, on this screen’s machine: the same, letter by letter");
      this.end();
    }
    return undefined;
  }

  end() {
    clearInterval(this.timer);
    this.abort.abort();
    this.worker?.terminate();
  }
}

/** The number of letters that can be seen in a text. */
function inkIn(text) {
  return [...text].filter((letter) => letter.trim() !== "").length;
}

/** Begin when a champion appears; a page that only updates shows the same one without writing it twice. */
function look() {
  const scene = document.querySelector(".champion[data-bundle]");
  if (!scene || still) return;
  if (writing && writing.entry === scene.dataset.entry) {
    if (writing.isSame) scene.querySelector(".again").textContent = writing.scene.querySelector(".again").textContent;
    return;
  }
  writing = new Champion(scene);
  writing.begin();
}

document.addEventListener("fresh", look);
look();

// A verse being written: its text as it grows, and for each token the candidates that it was chosen from.

import { t } from "./words.js";

const PACES = { slow: 2, reading: 14, all: Infinity }; // tokens a second
const TICK = 60; // ms

/** The part of the page that shows the writing. Everything from a bundle is set as text, never as markup. */
export class WritingView {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(`[data-part="${name}"]`);
    this.tokens = [];
    this.shown = 0; // tokens that can be seen
    this.finish = null;
    this.slider = this.find("slider");
    this.slider.addEventListener("input", () => this.showCandidates(Number(this.slider.value) - 1));
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.find(calm ? "pace-all" : "pace-reading").checked = true;
  }

  /** Begin with an empty page after this prompt. */
  begin(prompt, count) {
    this.stop();
    this.tokens = [];
    this.shown = 0;
    this.count = count;
    this.find("prompt").textContent = prompt.trim() ? prompt : "";
    this.find("text").textContent = "";
    this.find("cursor").hidden = false;
    this.find("step").hidden = true;
    this.find("candidates").replaceChildren();
    this.find("where").textContent = "";
    this.root.hidden = false;
    this.credit = 0;
    this.timer = setInterval(() => this.tick(), TICK);
  }

  push(token) {
    this.tokens.push(token);
  }

  /** Tell that no more tokens come. Resolves when all are shown. */
  end() {
    return new Promise((done) => { this.finish = done; });
  }

  stop() {
    clearInterval(this.timer);
    this.finish = null;
    this.find("cursor").hidden = true;
  }

  get isComplete() {
    return this.shown === this.tokens.length;
  }

  get pace() {
    return PACES[this.root.querySelector("input[name=pace]:checked").value];
  }

  tick() {
    this.credit = Math.min(this.credit + this.pace * TICK / 1000, this.pace === Infinity ? Infinity : this.pace);
    const next = Math.min(this.tokens.length, this.shown + Math.floor(Math.min(this.credit, this.tokens.length)));
    if (next > this.shown) {
      const more = this.tokens.slice(this.shown, next).map((token) => token.text).join("");
      this.find("text").append(more);
      this.credit -= next - this.shown;
      this.shown = next;
      this.showCandidates(next - 1);
    }
    if (this.finish && this.isComplete) {
      const done = this.finish;
      this.stop();
      this.offerSteps();
      done();
    }
  }

  /** Let people step through the tokens, once all are there. */
  offerSteps() {
    this.slider.max = String(this.tokens.length);
    this.slider.value = String(this.tokens.length);
    this.find("step").hidden = false;
  }

  showCandidates(position) {
    const token = this.tokens[position];
    this.find("where").textContent = t("Token {number} of {count}", { number: position + 1, count: Math.max(this.count, this.tokens.length) });
    const list = this.find("candidates");
    while (list.childElementCount > token.candidates.length) list.lastElementChild.remove();
    while (list.childElementCount < token.candidates.length) list.append(newRow());
    token.candidates.forEach((candidate, index) => fillRow(list.children[index], candidate));
  }
}

const SVG = "http://www.w3.org/2000/svg";

function newRow() {
  const row = document.createElement("li"), bar = document.createElementNS(SVG, "svg");
  bar.setAttribute("class", "bar");
  bar.setAttribute("viewBox", "0 0 100 1");
  bar.setAttribute("preserveAspectRatio", "none");
  bar.setAttribute("aria-hidden", "true");
  const part = bar.appendChild(document.createElementNS(SVG, "rect"));
  part.setAttribute("height", "1");
  const name = document.createElement("code"), share = document.createElement("span");
  share.className = "num";
  row.append(name, bar, share);
  return row;
}

function fillRow(row, { name, probability, chosen }) {
  const [label, bar, share] = row.children;
  row.className = chosen ? "chosen" : "";
  label.textContent = name;
  bar.firstElementChild.setAttribute("width", String(Math.max(0.5, 100 * probability)));
  share.textContent = percent(probability) + (chosen ? " " + t("chosen") : "");
}

function percent(share) {
  return share >= 0.01 ? `${Math.round(100 * share)} %` : "< 1 %";
}

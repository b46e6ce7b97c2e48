// The page that writes a verse again: from a bundle of this event, or from a file. It also works saved, without a server.

import { download, DownloadError } from "./download.js";
import { durationOf, megabytes, resultOf } from "./result.js";
import { numberOf, t } from "./words.js";
import { WritingView } from "./writing.js";

const MAX_SECONDS = 90, MAX_BYTES = 300e6; // above this, the page asks before it begins
const find = (id) => document.getElementById(id);
const root = find("check");
const view = new WritingView(find("writing"));
let worker = null, abort = null, claim = null, written = null;

/** Start the engine: from its address, or in the saved page from its text. */
function newWorker() {
  const source = find("engine");
  if (!source) return new Worker(root.dataset.worker);
  return new Worker(URL.createObjectURL(new Blob([source.textContent], { type: "text/javascript" })));
}

function say(text, tone = "") {
  find("status").textContent = text;
  find("status").className = `note ${tone}`;
  find("status").hidden = text === "";
}

/** End whatever runs, and show the page as it was at first. */
function reset() {
  worker?.terminate();
  abort?.abort();
  worker = abort = claim = written = null;
  view.stop();
  for (const id of ["status", "bar", "cost", "facts", "begin", "stop", "result", "writing"]) find(id).hidden = true;
}

function end(text, tone) {
  worker?.terminate();
  abort?.abort();
  view.stop();
  for (const id of ["bar", "begin", "stop"]) find(id).hidden = true;
  if (find("start")) find("start").disabled = false;
  say(text, tone);
}

/** Read a bundle and, if it is cheap, write its verse. */
function examine(file) {
  find("stop").hidden = false;
  say(t("Reading the bundle …"));
  worker = newWorker();
  worker.onmessage = ({ data }) => heard(data);
  worker.onerror = (event) => end(t("This browser could not compute it: {reason}.", { reason: event.message ?? t("the engine did not start") }), "bad");
  worker.postMessage({ read: file });
}

async function heard(data) {
  if (data.claim) showClaim(data.claim);
  else if (data.token) view.push(data.token);
  else if (data.written) written = data.written;
  else if (data.checked) checking(data.checked);
  else if (data.verdict) await showVerdict(data.verdict);
  else if (data.refused) end(t("{reason} No verse can be checked from this file (rule {rule}).", { reason: data.refused.message, rule: data.refused.code }), "bad");
  else end(t("This browser could not compute it: {reason}. The command arena verify needs less memory.", { reason: data.broken }), "bad");
}

function showClaim(found) {
  claim = found;
  const { model, recipe } = found;
  const facts = {
    [t("model")]: t(model.n_layer === 1 ? t("{weights} weights, {arch}, 1 layer of width {width}") : t("{weights} weights, {arch}, {layers} layers of width {width}"), { weights: numberOf(model.nParams), arch: model.arch, layers: model.n_layer, width: model.n_embd }),
    [t("temperature")]: numberOf(recipe.temperature / 100, 2) + (recipe.temperature === 0 ? ": " + t("always the likeliest token") : ""),
    "top-k": recipe.top_k || t("all tokens"),
    [t("seed")]: recipe.seed,
    [t("length")]: found.tokens === 1 ? t("1 token") : t("{count} tokens", { count: found.tokens }),
  };
  find("cost").textContent = t("It takes about {time} on this device, and {size} of memory.", { time: durationOf(found.seconds), size: megabytes(found.bytes) });
  find("recipe").replaceChildren(...Object.entries(facts).flatMap(([name, value]) => {
    const term = document.createElement("dt"), description = document.createElement("dd");
    term.textContent = name;
    description.textContent = value;
    return [term, description];
  }));
  find("cost").hidden = find("facts").hidden = false;
  if (found.seconds <= MAX_SECONDS && found.bytes <= MAX_BYTES) begin();
  else {
    find("begin").hidden = false;
    say(t("This verse takes long, or much memory. You can stop it at any time."));
  }
}

function begin() {
  find("begin").hidden = true;
  find("stop").hidden = false;
  say("");
  view.begin(claim.prompt, claim.tokens);
  find("writing").scrollIntoView({ block: "start" });
  worker.postMessage({ write: true });
}

function checking(count) {
  if (!view.isComplete) return;
  conclude(written.same ? t("The same, letter by letter") : t("Not the same"), "", t("Now this device checks whether rounding could have changed a token: {count} of {tokens}.", { count, tokens: claim.tokens }));
}

async function showVerdict(verdict) {
  await view.end();
  const { heading, tone, text } = resultOf(written, verdict);
  conclude(heading, tone, text);
  find("claimed").hidden = written.same;
  find("claimed-text").textContent = written.same ? "" : claim.text;
  end("");
  find("result").scrollIntoView({ block: "nearest" });
}

function conclude(heading, tone, text) {
  find("result-heading").textContent = heading;
  find("result-heading").className = tone;
  find("result-text").textContent = text;
  find("result").hidden = false;
}

function open(file) {
  reset();
  if (file) examine(file);
}

async function fetchBundle() {
  reset();
  const { bundle } = root.dataset, total = Number(root.dataset.bytes);
  abort = new AbortController();
  find("start").disabled = true;
  find("stop").hidden = false;
  find("bar").hidden = false;
  find("bar").max = total;
  find("bar").value = 0;
  say(t("Downloading the model …"));
  try {
    const file = await download(bundle, abort.signal, (bytes) => {
      find("bar").value = bytes;
      say(t("Downloading the model: {size} of {total}", { size: megabytes(bytes), total: megabytes(total) }));
    }, (left, busy) => say(busy ? t("The server is sending models to as many people as it can. This page tries again in {seconds} s.", { seconds: left }) : t("The connection was lost. This page tries again in {seconds} s.", { seconds: left })));
    find("bar").hidden = true;
    examine(file);
  } catch (error) {
    if (!abort || abort.signal.aborted) return;
    end(error instanceof DownloadError ? error.message : t("The download failed: {reason}", { reason: error.message }), "bad");
  }
}

find("stop").addEventListener("click", () => end(t("Stopped.")));
find("begin").addEventListener("click", begin);
find("start")?.addEventListener("click", fetchBundle);
if (find("file")) {
  find("file").addEventListener("click", () => { find("file").value = ""; }); // the same file can be chosen again
  find("file").addEventListener("change", () => open(find("file").files[0]));
  if (find("file").files.length) open(find("file").files[0]); // chosen before this script came
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  });
}
for (const hidden of document.querySelectorAll("[data-script]")) hidden.hidden = false;

// Sends a bundle in pieces: the header first, then the tensors, each from the offset that the server names.
(() => {
  "use strict";
  const { entries: ENTRIES, mine: MINE } = document.currentScript.dataset;
  const WORDS = JSON.parse(document.currentScript.dataset.words || "{}"); // sentences in the page's language
  const t = (message, values = {}) => (WORDS[message] || message).replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const PIECE = Number(document.currentScript.dataset.piece); // bytes
  const form = document.getElementById("upload");
  if (!form || !window.fetch || !Blob.prototype.slice) return;
  const bar = document.getElementById("bar");
  const status = document.getElementById("progress");
  const button = form.querySelector("button");
  const token = form.elements.token.value;
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const say = (text, bad) => { status.textContent = text; status.className = bad ? "note bad" : "note"; status.hidden = false; };

  async function send(method, url, body, headers) {
    for (let attempt = 0; ; attempt += 1) {
      let wait = Math.min(30000, 1000 * 2 ** attempt) * (0.7 + 0.6 * Math.random());
      try {
        const response = await fetch(url, { method, body, headers: { "X-Form-Token": token, "Content-Type": "application/octet-stream", ...headers } });
        const data = await response.json().catch(() => ({}));
        if (response.ok || response.status === 409 && data.offset !== undefined) return data;
        if (response.status < 500 && response.status !== 429 && response.status !== 408) throw new Refused(data.message || t("The server did not accept it ({status}).", { status: response.status }));
        wait = Math.max(wait, 1000 * Number(response.headers.get("Retry-After") || 0));
      } catch (error) {
        if (error instanceof Refused) throw error;
      }
      say(t("The connection was lost. Trying again in {seconds} s; everything sent so far is kept.", { seconds: Math.ceil(wait / 1000) }));
      await pause(wait);
    }
  }
  class Refused extends Error {}

  async function headerOf(file) {
    const bytes = await file.slice(0, 8).arrayBuffer();
    if (bytes.byteLength === 8) {
      const view = new DataView(bytes);
      const length = view.getUint32(0, true);
      if (view.getUint32(4, true) === 0 && length >= 2 && length <= PIECE && 8 + length <= file.size) return file.slice(0, 8 + length);
    }
    throw new Refused(t("This file is not a bundle. Choose the .verse file that trainer submit wrote."));
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const file = form.elements.bundle.files[0];
    const name = form.elements.name.value.trim();
    if (!file || !name) return;
    button.disabled = true;
    form.dataset.busy = "1";
    try {
      const header = await headerOf(file);
      say(t("Registering your verse …"));
      const claim = await send("POST", ENTRIES + "?name=" + encodeURIComponent(name), header, {});
      if (claim.size !== file.size) throw new Refused(t("This file has {size} bytes, but its header says {said}: it is damaged or not complete.", { size: file.size, said: claim.size }));
      let offset = claim.offset;
      bar.hidden = false;
      bar.max = file.size;
      while (offset < file.size) {
        bar.value = offset;
        say(t("Your verse is registered. Sending the model: {share} %", { share: Math.floor(100 * offset / file.size) }));
        const data = await send("PATCH", ENTRIES + "/" + encodeURIComponent(claim.entry), file.slice(offset, offset + PIECE), { "Upload-Offset": String(offset) });
        offset = data.offset;
      }
      bar.value = file.size;
      say(t("The server has received everything."));
      location.assign(MINE);
    } catch (error) {
      say(error instanceof Refused ? error.message : t("This browser could not read the file: {reason}", { reason: error.message }), true);
      button.disabled = false;
      delete form.dataset.busy;
    }
  });
})();

// Downloads a bundle: waits where the server sends to as many people as it can, and goes on where a network was lost.

import { t } from "./words.js";

const ATTEMPTS = 5; // without a byte more, one after the other
const PAUSE = 3; // seconds after a lost connection
const JITTER = 4; // seconds, so that phones that wait do not ask at the same moment

export class DownloadError extends Error {}

/**
 * Download a file.
 *
 * url: of the file. signal: ends it. onBytes: is told the number of bytes that are here. onWait: is told the seconds that
 * are left before the next attempt, and whether the server is busy. Returns a Blob.
 */
export async function download(url, signal, onBytes, onWait) {
  let parts = [], size = 0;
  for (let attempt = 1; ; attempt += 1) {
    let busy = false, wait = PAUSE;
    try {
      const headers = size > 0 ? { Range: `bytes=${size}-` } : {};
      const response = await fetch(url, { signal, cache: "no-store", headers });
      if (response.ok) {
        if (response.status === 200) [parts, size] = [[], 0];
        const reader = response.body.getReader();
        for (let read = await reader.read(); !read.done; read = await reader.read()) {
          parts.push(read.value);
          size += read.value.length;
          attempt = 0;
          onBytes(size);
        }
        return new Blob(parts);
      }
      if (response.status < 500) throw new DownloadError(t("The server does not have this bundle ({status}).", { status: response.status }));
      busy = response.status === 503;
      if (busy) attempt = 0;
      wait = Number(response.headers.get("Retry-After")) || PAUSE;
    } catch (error) {
      if (error instanceof DownloadError || signal.aborted) throw error;
    }
    if (attempt >= ATTEMPTS) throw new DownloadError(t("The server does not respond. Try again later."));
    for (let left = Math.ceil(wait + JITTER * Math.random()); left > 0; left -= 1) {
      onWait(left, busy);
      await new Promise((done) => setTimeout(done, 1000));
      if (signal.aborted) throw signal.reason;
    }
  }
}

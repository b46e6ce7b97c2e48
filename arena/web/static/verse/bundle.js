// A whole bundle (SPEC.md, section 7): cheap rules first, and nothing in it is ever executed.

import { headerBytes, readClaim } from "./claim.js";
import { need } from "./errors.js";
import { sha256Hex } from "./sha256.js";
import { Weights } from "./weights.js";

const MAX_BUNDLE_BYTES = 192 * 2 ** 20;

/** Rule 1, before a byte is read. */
export function checkFileSize(size) {
  need(size > 0, "empty", "The file is empty.");
  need(size <= MAX_BUNDLE_BYTES, "too-large", "The file is larger than a bundle may be, 192 MiB.");
}

/** Rule 13: a file ends with its last tensor. */
export function checkFileEnd(claim, size) {
  need(size >= claim.bytes, "truncated", `The file is cut off: it has ${size} of ${claim.bytes} bytes.`);
  need(size <= claim.bytes, "trailing-bytes", `The file has ${size - claim.bytes} bytes more than its claim says.`);
}

/** Rules 14 and 15: the bytes after the header. Returns the weights. */
export function readWeights(claim, tensors) {
  need(sha256Hex(tensors) === claim.digest, "digest", "The weights were changed: they have another SHA-256.");
  return new Weights(claim.config.shapes, tensors);
}

/** Read a bundle in memory. Throws a BundleError at the first rule that it breaks. */
export function readBundle(bytes) {
  checkFileSize(bytes.length);
  const claim = readClaim(bytes.subarray(0, headerBytes(bytes)));
  checkFileEnd(claim, bytes.length);
  return { claim, weights: readWeights(claim, bytes.subarray(claim.headerBytes)) };
}

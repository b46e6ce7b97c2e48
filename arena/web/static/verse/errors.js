// What a reader of bundles says of a file that is none.

/** A file that breaks a rule of the format. `code` is the rule's name in SPEC.md, section 7; the message is for people. */
export class BundleError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Refuse, unless the rule holds. */
export function need(holds, code, message) {
  if (!holds) throw new BundleError(code, message);
}

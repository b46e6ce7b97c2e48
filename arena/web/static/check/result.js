// What the page says at the end: the verdict of SPEC.md in sentences.

/** Heading, tone and sentences for a verse that was written and replayed. */
export function resultOf(written, verdict) {
  const at = `token ${verdict.position === null ? 0 : verdict.position + 1}`;
  const differs = written.different && `At token ${written.different.position + 1} this device writes “${written.different.written}”, and the bundle says “${written.different.claimed ?? "nothing more"}”.`;
  if (verdict.verdict === "PASS" && written.same) {
    return {
      heading: "The same, letter by letter", tone: "good",
      text: `PASS: this device has written the bundle’s verse again, and rounding could not have changed a token. The closest decision, of token ${verdict.gapPosition + 1}, had a gap of ${verdict.smallestGap.toPrecision(3)}; rounding explains no more than ${shortNumber(verdict.bound)}.`,
    };
  }
  if (verdict.verdict === "FAIL") {
    return {
      heading: "Not the same", tone: "bad",
      text: `FAIL: the model and the recipe of this bundle do not write its verse. ${differs ?? `It differs at ${at}.`} Rounding cannot explain that.`,
    };
  }
  return {
    heading: written.same ? "The same here, but undecided" : "Another verse here, but undecided", tone: "",
    text: `UNDECIDED: the decision of ${at} is so close that rounding may have made it, so another machine may write another verse. ${differs ?? ""}`,
  };
}

export function shortNumber(number) {
  return number >= 1 ? String(Math.round(number)) : number.toPrecision(1).replace(/e-(\d+)/, " · 10^-$1");
}

/** A size in MB, as the server's pages write it. */
export function megabytes(bytes) {
  return bytes < 1e5 ? `${Math.ceil(bytes / 1000)} KB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}

export function durationOf(seconds) {
  if (seconds < 1.5) return "a second";
  return seconds < 90 ? `${Math.ceil(seconds)} seconds` : `${Math.ceil(seconds / 60)} minutes`;
}

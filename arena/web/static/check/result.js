// What the page says at the end: the verdict of SPEC.md in sentences.

import { numberOf, t } from "./words.js";

/** Heading, tone and sentences for a verse that was written and replayed. */
export function resultOf(written, verdict) {
  const token = verdict.position === null ? 0 : verdict.position + 1;
  const differs = written.different && t("At token {token} this device writes “{written}”, and the bundle says “{claimed}”.", { token: written.different.position + 1, written: written.different.written, claimed: written.different.claimed ?? t("nothing more") });
  if (verdict.verdict === "PASS" && written.same) {
    return {
      heading: t("The same, letter by letter"), tone: "good",
      text: t("PASS: this device has written the bundle’s verse again, and rounding could not have changed a token. The closest decision, of token {token}, had a gap of {gap}; rounding explains no more than {bound}.", { token: verdict.gapPosition + 1, gap: verdict.smallestGap.toPrecision(3), bound: shortNumber(verdict.bound) }),
    };
  }
  if (verdict.verdict === "FAIL") {
    return {
      heading: t("Not the same"), tone: "bad",
      text: t("FAIL: the model and the recipe of this bundle do not write its verse. {difference} Rounding cannot explain that.", { difference: differs ?? t("It differs at token {token}.", { token }) }),
    };
  }
  return {
    heading: written.same ? t("The same here, but undecided") : t("Another verse here, but undecided"), tone: "",
    text: t("UNDECIDED: the decision of token {token} is so close that rounding may have made it, so another machine may write another verse.", { token }) + ` ${differs ?? ""}`,
  };
}

export function shortNumber(number) {
  return number >= 1 ? String(Math.round(number)) : number.toPrecision(1).replace(/e-(\d+)/, " · 10^-$1");
}

/** A size in MB, as the server's pages write it. */
export function megabytes(bytes) {
  return bytes < 1e5 ? `${Math.ceil(bytes / 1000)} KB` : `${numberOf(bytes / 1e6, bytes < 1e7 ? 1 : 0)} MB`;
}

export function durationOf(seconds) {
  if (seconds < 1.5) return t("a second");
  return seconds < 90 ? t("{count} seconds", { count: Math.ceil(seconds) }) : t("{count} minutes", { count: Math.ceil(seconds / 60) });
}

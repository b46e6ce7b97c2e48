// The sentences of these scripts in the language of the page. In English they are those of the code.

const WORDS = JSON.parse(document.currentScript.dataset.words || "{}");
const LANGUAGE = document.documentElement.lang || "en";

/** A sentence in the language of the page, with values in place of names in braces. */
export function t(message, values = {}) {
  return (WORDS[message] || message).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** A number as the language of the page writes it. */
export function numberOf(value, decimals = 0) {
  return value.toLocaleString(LANGUAGE, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

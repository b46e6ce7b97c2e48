// What a step chose from: the probabilities of its candidates. For people to look at; no verdict depends on it.

const UNSEEN = /[\p{Cc}\p{Cf}]/gu; // controls, and characters that only steer how others look

/**
 * The likeliest candidates of a decision, and the chosen one if it is not among them.
 *
 * Returns objects with the token's id, its probability in softmax(z / T), and whether it was chosen. At temperature 0 the
 * likeliest token is always chosen; the probabilities shown are those of temperature 1.
 */
export function likeliest(decision, temperature, count) {
  const { z, inside, token } = decision;
  const T = temperature === 0 ? 1 : temperature / 100;
  const order = [...inside].sort((a, b) => z[b] - z[a] || a - b);
  const most = z[order[0]];
  const sum = inside.reduce((total, id) => total + Math.exp((z[id] - most) / T), 0);
  const shown = order.slice(0, count);
  if (!shown.includes(token)) shown.push(token);
  return shown.map((id) => ({ id, probability: Math.exp((z[id] - most) / T) / sum, chosen: id === token }));
}

/** A token as people read it: blanks get a sign, and a character that cannot be seen is named, as in <U+200B>. */
export function nameOf(token) {
  const signs = token.replaceAll("\n", "⏎").replaceAll(" ", "␣");
  return signs.replace(UNSEEN, (character) => `<U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}>`);
}

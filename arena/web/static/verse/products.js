// Matrix products, where nearly all of the time goes. Several numbers are summed at once, so that each that is read from
// memory is used several times; the order of summation may be any (SPEC.md asks for the real numbers).

/**
 * y = x Wᵀ.
 *
 * x: rows of nIn numbers. w: nOut rows of nIn numbers. y: rows of nOut numbers, written.
 */
export function multiply(x, w, y, rows, nIn, nOut) {
  const many = nOut - (nOut % 4);
  let row = 0;
  for (; row + 3 <= rows; row += 3) {
    for (let o = 0; o < many; o += 4) threeByFour(x, w, y, row, o, nIn, nOut);
    for (let o = many; o < nOut; o += 1) for (let r = row; r < row + 3; r += 1) one(x, w, y, r, o, nIn, nOut);
  }
  for (; row < rows; row += 1) {
    const eights = nOut - (nOut % 8), count = findNonZero(x, row * nIn, nIn);
    if (count < SPARSE * nIn) for (let o = 0; o < eights; o += 8) sparseByEight(x, w, y, row, o, nIn, nOut, count);
    else for (let o = 0; o < eights; o += 8) oneByEight(x, w, y, row, o, nIn, nOut);
    for (let o = eights; o < nOut; o += 1) one(x, w, y, row, o, nIn, nOut);
  }
}

const SPARSE = 0.75; // share of numbers that are not zero, below which zeros are left out: after a ReLU, half and more are
let nonZero = new Int32Array(0); // where the numbers of one row are that are not zero

function findNonZero(x, from, n) {
  if (nonZero.length < n) nonZero = new Int32Array(n);
  let count = 0;
  for (let i = 0; i < n; i += 1) {
    nonZero[count] = i;
    if (x[from + i] !== 0) count += 1;
  }
  return count;
}

function one(x, w, y, row, o, nIn, nOut) {
  y[row * nOut + o] = dot(x, row * nIn, w, o * nIn, nIn);
}

function oneByEight(x, w, y, row, o, nIn, nOut) {
  const from = row * nIn;
  const w0 = o * nIn, w1 = w0 + nIn, w2 = w1 + nIn, w3 = w2 + nIn, w4 = w3 + nIn, w5 = w4 + nIn, w6 = w5 + nIn, w7 = w6 + nIn;
  let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
  for (let i = 0; i < nIn; i += 1) {
    const v = x[from + i];
    a += v * w[w0 + i]; b += v * w[w1 + i]; c += v * w[w2 + i]; d += v * w[w3 + i];
    e += v * w[w4 + i]; f += v * w[w5 + i]; g += v * w[w6 + i]; h += v * w[w7 + i];
  }
  const to = row * nOut + o;
  y[to] = a; y[to + 1] = b; y[to + 2] = c; y[to + 3] = d; y[to + 4] = e; y[to + 5] = f; y[to + 6] = g; y[to + 7] = h;
}

function sparseByEight(x, w, y, row, o, nIn, nOut, count) {
  const from = row * nIn, places = nonZero;
  const w0 = o * nIn, w1 = w0 + nIn, w2 = w1 + nIn, w3 = w2 + nIn, w4 = w3 + nIn, w5 = w4 + nIn, w6 = w5 + nIn, w7 = w6 + nIn;
  let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
  for (let k = 0; k < count; k += 1) {
    const i = places[k], v = x[from + i];
    a += v * w[w0 + i]; b += v * w[w1 + i]; c += v * w[w2 + i]; d += v * w[w3 + i];
    e += v * w[w4 + i]; f += v * w[w5 + i]; g += v * w[w6 + i]; h += v * w[w7 + i];
  }
  const to = row * nOut + o;
  y[to] = a; y[to + 1] = b; y[to + 2] = c; y[to + 3] = d; y[to + 4] = e; y[to + 5] = f; y[to + 6] = g; y[to + 7] = h;
}

function threeByFour(x, w, y, row, o, nIn, nOut) {
  const x0 = row * nIn, x1 = x0 + nIn, x2 = x1 + nIn;
  const w0 = o * nIn, w1 = w0 + nIn, w2 = w1 + nIn, w3 = w2 + nIn;
  let a0 = 0, b0 = 0, c0 = 0, d0 = 0, a1 = 0, b1 = 0, c1 = 0, d1 = 0, a2 = 0, b2 = 0, c2 = 0, d2 = 0;
  for (let i = 0; i < nIn; i += 1) {
    const u = x[x0 + i], v = x[x1 + i], z = x[x2 + i];
    let k = w[w0 + i];
    a0 += u * k; a1 += v * k; a2 += z * k;
    k = w[w1 + i];
    b0 += u * k; b1 += v * k; b2 += z * k;
    k = w[w2 + i];
    c0 += u * k; c1 += v * k; c2 += z * k;
    k = w[w3 + i];
    d0 += u * k; d1 += v * k; d2 += z * k;
  }
  let to = row * nOut + o;
  y[to] = a0; y[to + 1] = b0; y[to + 2] = c0; y[to + 3] = d0;
  to += nOut;
  y[to] = a1; y[to + 1] = b1; y[to + 2] = c1; y[to + 3] = d1;
  to += nOut;
  y[to] = a2; y[to + 1] = b2; y[to + 2] = c2; y[to + 3] = d2;
}

/** The sum of n products, of numbers from a[i] and b[j] on. */
export function dot(a, i, b, j, n) {
  let s = 0, t = 0, d = 0;
  for (; d + 1 < n; d += 2) {
    s += a[i + d] * b[j + d];
    t += a[i + d + 1] * b[j + d + 1];
  }
  return d < n ? s + t + a[i + d] * b[j + d] : s + t;
}

/** The products of the vector at a[i] with `count` rows of n numbers, which begin at b[j] and every `step`, into y[to]. */
export function dots(a, i, b, j, step, count, n, y, to) {
  let row = 0;
  for (; row + 4 <= count; row += 4, j += 4 * step) {
    const j1 = j + step, j2 = j1 + step, j3 = j2 + step;
    let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (let d = 0; d < n; d += 1) {
      const v = a[i + d];
      s0 += v * b[j + d]; s1 += v * b[j1 + d]; s2 += v * b[j2 + d]; s3 += v * b[j3 + d];
    }
    y[to + row] = s0; y[to + row + 1] = s1; y[to + row + 2] = s2; y[to + row + 3] = s3;
  }
  for (; row < count; row += 1, j += step) y[to + row] = dot(a, i, b, j, n);
}

/** Add to y[to], ... the rows at b[j] and every `step`, n numbers each, times the `count` numbers from a[i] on. */
export function sumRows(a, i, b, j, step, count, n, y, to) {
  let row = 0;
  for (; row + 4 <= count; row += 4, j += 4 * step) {
    const a0 = a[i + row], a1 = a[i + row + 1], a2 = a[i + row + 2], a3 = a[i + row + 3];
    const j1 = j + step, j2 = j1 + step, j3 = j2 + step;
    for (let d = 0; d < n; d += 1) y[to + d] += (a0 * b[j + d] + a1 * b[j1 + d]) + (a2 * b[j2 + d] + a3 * b[j3 + d]);
  }
  for (; row < count; row += 1, j += step) for (let d = 0; d < n; d += 1) y[to + d] += a[i + row] * b[j + d];
}

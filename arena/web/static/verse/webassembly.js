// Products with a matrix as WebAssembly, whose vectors hold two float64: several times as fast as JavaScript, and rounded
// by the same rules (WebAssembly core specification 2.0, where the numbers of the instructions below are from).

export const OUTPUTS = 4; // that a kernel sums at once, so that each number that is read is used several times
export const MOST_ROWS = 3; // the same, of the other side
const PAGE_BYTES = 65536;
let compiled = null; // the module: once, so that the browser keeps what it has optimized

const I32 = 0x7f, V128 = 0x7b;
const LOOP = [0x03, 0x40], END = [0x0b], REPEAT_IF = [0x0d, 0];
const ADD = [0x6a], SUBTRACT = [0x6b], MULTIPLY = [0x6c], LESS = [0x49];
const ADD_F64 = [0xa0], STORE_F64 = (offset) => [0x39, 3, ...unsigned(offset)];
const get = (local) => [0x20, local], set = (local) => [0x21, local], tee = (local) => [0x22, local];
const number = (n) => [0x41, ...signed(n)];

const vector = (code) => [0xfd, ...unsigned(code)];
const ZERO = [...vector(0x0c), ...new Array(16).fill(0)];
const LOAD_TWO_F64 = [...vector(0x00), 3, 0], LOAD_TWO_F32 = [...vector(0x5d), 2, 0], WIDEN = vector(0x5f);
const ADD_TWO = vector(0xf0), MULTIPLY_TWO = vector(0xf2), lane = (n) => [...vector(0x21), n];

/**
 * Memory of so many bytes or a few more, as `buffer`, and `multiply` by the number of rows: 1, or MOST_ROWS.
 *
 * `multiply[rows](x, w, y, nIn, width, blocks)` writes y = x Wᵀ for a number of blocks of OUTPUTS rows of W. x, w and y
 * are addresses: of rows of nIn float64, rows of nIn float32, and rows of `width` float64. nIn is even, and not 0; and so
 * is blocks not 0. Null where the browser has no WebAssembly with vectors, or does not let this page have it.
 */
export function newKernels(bytes) {
  try {
    const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE_BYTES) });
    compiled ??= new WebAssembly.Module(kernels([1, MOST_ROWS]));
    const { exports } = new WebAssembly.Instance(compiled, { "": { memory } });
    return { buffer: memory.buffer, multiply: exports };
  } catch {
    return null;
  }
}

/** A module with a kernel for each of these numbers of rows, exported under that number. */
function kernels(rowNumbers) {
  const name = (text) => list([...text].map((character) => [character.charCodeAt(0)]));
  const section = (id, body) => [id, ...unsigned(body.length), ...body];
  return Uint8Array.from([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, list([[0x60, ...list(new Array(6).fill([I32])), ...list([])]])), // the type of all functions
    ...section(2, list([[...name(""), ...name("memory"), 0x02, 0x00, 1]])),
    ...section(3, list(rowNumbers.map(() => [0]))),
    ...section(7, list(rowNumbers.map((rows, index) => [...name(String(rows)), 0x00, index]))),
    ...section(10, list(rowNumbers.map(kernel))),
  ]);
}

/** The code of one function: for each block, all products of `rows` rows of x with OUTPUTS rows of W. */
function kernel(rows) {
  const [x, w, y, nIn, width, blocks, end] = [0, 1, 2, 3, 4, 5, 6];
  const xAt = locals(rows, end + 1), wAt = locals(OUTPUTS, xAt.at(-1) + 1), yAt = wAt.at(-1) + 1; // addresses
  const weight = yAt + 1, numbers = locals(rows, weight + 1); // two numbers each
  const sums = numbers.map((_, row) => locals(OUTPUTS, numbers.at(-1) + 1 + row * OUTPUTS));
  const bytes = (size, count) => [...get(count), ...number(size), ...MULTIPLY];
  const follow = (at, first, size, count) => at.flatMap((local, i) => (
    i === 0 ? [...get(first), ...set(local)] : [...get(at[i - 1]), ...bytes(size, count), ...ADD, ...set(local)]));
  const advance = (local, by) => [...get(local), ...number(by), ...ADD, ...set(local)];
  const code = [
    ...LOOP,
    ...follow(xAt, x, 8, nIn), ...follow(wAt, w, 4, nIn),
    ...get(x), ...bytes(8, nIn), ...ADD, ...set(end),
    ...sums.flat().flatMap((sum) => [...ZERO, ...set(sum)]),
    ...LOOP,
    ...numbers.flatMap((two, row) => [...get(xAt[row]), ...LOAD_TWO_F64, ...set(two), ...advance(xAt[row], 16)]),
    ...wAt.flatMap((at, output) => [
      ...get(at), ...LOAD_TWO_F32, ...WIDEN, ...set(weight), ...advance(at, 8),
      ...sums.flatMap((of, row) => [
        ...get(of[output]), ...get(numbers[row]), ...get(weight), ...MULTIPLY_TWO, ...ADD_TWO, ...set(of[output])]),
    ]),
    ...get(xAt[0]), ...get(end), ...LESS, ...REPEAT_IF, ...END,
    ...get(y), ...set(yAt),
    ...sums.flatMap((of) => [
      ...of.flatMap((sum, output) => [
        ...get(yAt), ...get(sum), ...lane(0), ...get(sum), ...lane(1), ...ADD_F64, ...STORE_F64(8 * output)]),
      ...get(yAt), ...bytes(8, width), ...ADD, ...set(yAt),
    ]),
    ...get(wAt.at(-1)), ...set(w), // it stands at the end of its row, where the next block begins
    ...advance(y, 8 * OUTPUTS),
    ...get(blocks), ...number(1), ...SUBTRACT, ...tee(blocks), ...REPEAT_IF, ...END,
    ...END,
  ];
  const declared = list([[...unsigned(weight - end), I32], [...unsigned(1 + rows + rows * OUTPUTS), V128]]);
  return [...unsigned(declared.length + code.length), ...declared, ...code];
}

const locals = (count, first) => Array.from({ length: count }, (_, i) => first + i);
const list = (items) => [...unsigned(items.length), ...items.flat()];

/** A number in LEB128, as WebAssembly writes them: 7 bits a byte, the lowest first. */
function unsigned(n) {
  return n < 128 ? [n] : [(n & 127) | 128, ...unsigned(n >>> 7)];
}

function signed(n) {
  return n >= -64 && n < 64 ? [n & 127] : [(n & 127) | 128, ...signed(n >> 7)];
}

"""A second verse engine for the tests, written from SPEC.md alone: plain Python numbers and loops, no cache, no NumPy.

Every token is written by running the whole model over the whole text again. It shares no line with trainer.verse and is
thousands of times slower; where both say the same, SPEC.md says it too.
"""

import hashlib
import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Vector = list[float]
Matrix = list[Vector]

EPSILON = 1e-6
FORBIDDEN = (
    {*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F}
    | {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
)  # fmt: skip


class Step(NamedTuple):
    token: int
    gap: float


# --- section 1: the model ---------------------------------------------------------------------------------------------


def times(x: Vector, matrix: Matrix, bias: Vector | None = None) -> Vector:
    """y = x W^T (+ b) for W as (out, in)."""
    y = [math.fsum(a * b for a, b in zip(x, row, strict=True)) for row in matrix]
    return y if bias is None else [a + b for a, b in zip(y, bias, strict=True)]


def plus(x: Vector, y: Vector) -> Vector:
    return [a + b for a, b in zip(x, y, strict=True)]


def rms_norm(x: Vector, gain: Vector) -> Vector:
    root = math.sqrt(math.fsum(a * a for a in x) / len(x) + EPSILON)
    return [a / root * g for a, g in zip(x, gain, strict=True)]


def layer_norm(x: Vector, gain: Vector, bias: Vector) -> Vector:
    mean = math.fsum(x) / len(x)
    root = math.sqrt(math.fsum((a - mean) ** 2 for a in x) / len(x) + EPSILON)
    return [(a - mean) / root * g + b for a, g, b in zip(x, gain, bias, strict=True)]


def gelu(x: float) -> float:
    return x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def rotate(x: Vector, position: int) -> Vector:
    half = len(x) // 2
    first, second = [0.0] * half, [0.0] * half
    for i in range(half):
        n = i * 128 // len(x)
        angle = position * 10000.0 ** (-2 * n / 128)  # the table of SPEC.md; another test compares the printed numbers
        c, s = math.cos(angle), math.sin(angle)
        first[i] = x[i] * c - x[half + i] * s
        second[i] = x[half + i] * c + x[i] * s
    return first + second


def attention(config: Mapping[str, Any], weights: Mapping[str, Any], name: str, xs: Matrix) -> Matrix:
    modern = config["arch"] == "modern"
    width, heads = config["n_embd"], config["n_head"]
    size = width // heads
    queries: list[Matrix] = []
    keys: list[Matrix] = []
    values: list[Matrix] = []
    for position, x in enumerate(xs):
        qkv = times(x, weights[f"{name}.c_attn.weight"], None if modern else weights[f"{name}.c_attn.bias"])
        parts = [[qkv[p * width + h * size : p * width + (h + 1) * size] for h in range(heads)] for p in range(3)]
        if modern:
            parts[0] = [rotate(rms_norm(q, weights[f"{name}.q_norm.weight"]), position) for q in parts[0]]
            parts[1] = [rotate(rms_norm(k, weights[f"{name}.k_norm.weight"]), position) for k in parts[1]]
        queries.append(parts[0])
        keys.append(parts[1])
        values.append(parts[2])
    out = []
    for p in range(len(xs)):
        row: Vector = []
        for h in range(heads):
            seen = range(max(0, p - config["block_size"] + 1), p + 1)
            scores = [
                math.fsum(a * b for a, b in zip(queries[p][h], keys[j][h], strict=True)) / math.sqrt(size) for j in seen
            ]
            top = max(scores)
            shares = [math.exp(score - top) for score in scores]
            total = math.fsum(shares)
            for d in range(size):
                row.append(math.fsum(share * values[j][h][d] for share, j in zip(shares, seen, strict=True)) / total)
        out.append(times(row, weights[f"{name}.c_proj.weight"], None if modern else weights[f"{name}.c_proj.bias"]))
    return out


def logits(config: Mapping[str, Any], weights: Mapping[str, Any], ids: Sequence[int]) -> Matrix:
    """Logits after each of the tokens; weights are lists of Python floats."""
    modern = config["arch"] == "modern"

    def norm(x: Vector, name: str) -> Vector:
        gain = weights[f"{name}.weight"]
        return rms_norm(x, gain) if modern else layer_norm(x, gain, weights[f"{name}.bias"])

    xs = [list(weights["wte.weight"][token]) for token in ids]
    for offset in range(1, 4):
        if f"previous.{offset}.weight" in weights:
            table = weights[f"previous.{offset}.weight"]
            xs = [plus(x, table[ids[p - offset]]) if p >= offset else x for p, x in enumerate(xs)]
    if not modern:
        xs = [plus(x, weights["wpe.weight"][position]) for position, x in enumerate(xs)]
    for i in range(config["n_layer"]):
        attended = attention(config, weights, f"h.{i}.attn", [norm(x, f"h.{i}.ln_1") for x in xs])
        xs = [plus(x, y) for x, y in zip(xs, attended, strict=True)]
        for p, x in enumerate(xs):
            bias = [None, None] if modern else [weights[f"h.{i}.mlp.{part}.bias"] for part in ("c_fc", "c_proj")]
            hidden = times(norm(x, f"h.{i}.ln_2"), weights[f"h.{i}.mlp.c_fc.weight"], bias[0])
            hidden = [max(0.0, a) ** 2 if modern else gelu(a) for a in hidden]
            xs[p] = plus(x, times(hidden, weights[f"h.{i}.mlp.c_proj.weight"], bias[1]))
    if modern:
        return [[15 * math.tanh(a / 15) for a in times(norm(x, "ln_f"), weights["lm_head.weight"])] for x in xs]
    return [times(norm(x, "ln_f"), weights["wte.weight"]) for x in xs]


# --- sections 3 and 4: noise and decision -----------------------------------------------------------------------------


def noise_integer(seed: int, position: int, token: int) -> int:
    digest = hashlib.sha256(struct.pack(">16sIII", b"verse-noise-1", seed, position, token // 4)).digest()
    return struct.unpack(">4Q", digest)[token % 4] >> 12


def gumbel(n: int) -> float:
    return -math.log(-math.log((2 * n + 1) / 2**53))


def decide(z: Vector, top_k: int, temperature: int, g: Vector) -> Step:
    """The winner and its gap, by the formula of SPEC.md. z and g are indexed by token id."""
    size = len(z)
    k = top_k or size
    order = sorted(range(size), key=lambda j: (-z[j], j))
    inside, outside = order[:k], order[k:]
    s = [z[j] + temperature / 100 * g[j] for j in range(size)]
    w = min(inside, key=lambda j: (-s[j], j))
    gap = math.inf
    for j in inside:
        if j != w:
            gap = min(gap, s[w] - s[j])
    for j in outside:
        gap = min(gap, max(z[inside[-1]] - z[j], s[w] - s[j]))
    if outside:
        gap = min(gap, z[w] - z[outside[0]])
    return Step(w, gap)


# --- section 5: text --------------------------------------------------------------------------------------------------


def token_texts(tokenizer: Mapping[str, Any]) -> list[str]:
    tokens = list(tokenizer["symbols"])
    for a, b in tokenizer["merges"] if tokenizer["kind"] == "bpe" else []:
        tokens.append(tokens[a] + tokens[b])
    return tokens


def cut(text: str, lines: int) -> int | None:
    """Where the line feed stands that completes the `lines`-th non-empty line."""
    full, line = 0, ""
    for place, character in enumerate(text):
        if character != "\n":
            line += character
            continue
        full += any(c != " " for c in line)
        if lines and full == lines:
            return place
        line = ""
    return None


def text_of(tokenizer: Mapping[str, Any], ids: Sequence[int], lines: int) -> str | None:
    """The verse, or None if these tokens are no text."""
    tokens = token_texts(tokenizer)
    text = "".join(tokens[i] for i in ids)
    end = cut(text, lines)
    text = text if end is None else text[:end]
    return None if any(ord(c) in FORBIDDEN for c in text) else text


def write(
    config: Mapping[str, Any], weights: Mapping[str, Any], tokenizer: Mapping[str, Any], recipe: Mapping[str, Any]
) -> tuple[list[int], Vector]:
    """All of SPEC.md's sections 1 to 5: the ids of the verse and the gap of each decision."""
    tokens = token_texts(tokenizer)
    ids: list[int] = []
    gaps: Vector = []
    while len(ids) < recipe["tokens"]:
        z = logits(config, weights, [*recipe["prompt_ids"], *ids])[-1]
        g = [gumbel(noise_integer(recipe["seed"], len(ids), j)) for j in range(config["vocab_size"])]
        token, gap = decide(z, recipe["top_k"], recipe["temperature"], g)
        ids.append(token)
        gaps.append(gap)
        if cut("".join(tokens[i] for i in ids), recipe["lines"]) is not None:
            break
    return ids, gaps


# --- section 6: verdicts ----------------------------------------------------------------------------------------------


def step_verdict(z: Vector, top_k: int, temperature: int, g: Vector, claimed: int, estimate: float) -> str:
    """PASS, FAIL or UNDECIDED for one claimed token."""
    size = len(z)
    k = top_k or size
    bound = max(1e-6, 4 * estimate)
    w, gap = decide(z, top_k, temperature, g)
    if claimed == w:
        return "PASS" if gap > bound else "UNDECIDED"
    order = sorted(range(size), key=lambda j: (-z[j], j))
    ahead = z[w] + temperature / 100 * g[w] - z[claimed] - temperature / 100 * g[claimed]
    if k < size:
        ahead = min(ahead, z[w] - z[order[k]])
    beyond = claimed in order[k:] and z[order[k - 1]] - z[claimed] > bound
    return "FAIL" if ahead > bound or beyond else "UNDECIDED"


def verse_verdict(
    config: Mapping[str, Any], weights: Mapping[str, Any], recipe: Mapping[str, Any], ids: Sequence[int]
) -> tuple[str, int | None, int | None, int | None]:
    """Verdict, position, expected and claimed token of a verse of a model that does not magnify rounding errors."""
    prompt = recipe["prompt_ids"]
    undecided: tuple[str, int | None, int | None, int | None] | None = None
    rows = logits(config, weights, [*prompt, *ids[:-1]])[len(prompt) - 1 :]
    for position, z in enumerate(rows):
        g = [gumbel(noise_integer(recipe["seed"], position, j)) for j in range(config["vocab_size"])]
        step = recipe["top_k"], recipe["temperature"], g
        verdict = step_verdict(z, *step, ids[position], 0.0)
        found = verdict, position, decide(z, *step).token, ids[position]
        if verdict == "FAIL":
            return found
        if verdict == "UNDECIDED" and undecided is None:
            undecided = found
    return undecided or ("PASS", None, None, None)


def closest(gaps: Vector) -> tuple[float, int]:
    """The smallest gap, and the index of the first token that has it."""
    return min(gaps), gaps.index(min(gaps))


# --- section 7: the bundle --------------------------------------------------------------------------------------------


def shapes(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """Names and shapes of section 1's table."""
    width, modern = config["n_embd"], config["arch"] == "modern"
    size = width // config["n_head"]
    found = {"wte.weight": [config["vocab_size"], width], "ln_f.weight": [width]}
    if modern:
        found["lm_head.weight"] = [config["vocab_size"], width]
        if config["vocab_size"] <= 512:
            found |= {f"previous.{offset}.weight": [config["vocab_size"], width] for offset in (1, 2, 3)}
    else:
        found |= {"wpe.weight": [config["block_size"], width], "ln_f.bias": [width]}
    for i in range(config["n_layer"]):
        for name, out, into in (("attn.c_attn", 3, 1), ("attn.c_proj", 1, 1), ("mlp.c_fc", 4, 1), ("mlp.c_proj", 1, 4)):
            found[f"h.{i}.{name}.weight"] = [out * width, into * width]
            if not modern:
                found[f"h.{i}.{name}.bias"] = [out * width]
        for name in ("ln_1", "ln_2"):
            found[f"h.{i}.{name}.weight"] = [width]
            if not modern:
                found[f"h.{i}.{name}.bias"] = [width]
        if modern:
            found |= {f"h.{i}.attn.q_norm.weight": [size], f"h.{i}.attn.k_norm.weight": [size]}
    return found


def ids_sha256(ids: Sequence[int]) -> str:
    return hashlib.sha256(b"".join(struct.pack(">I", i) for i in ids)).hexdigest()


def bundle(
    config: Mapping[str, Any],
    weights: Mapping[str, Any],
    tokenizer: Mapping[str, Any],
    recipe: Mapping[str, Any],
    ids: Sequence[int],
    smallest_gap: float,
    position: int,
    provenance: Mapping[str, Any],
) -> bytes:
    """A whole bundle, byte by byte; weights are lists of numbers that float16 holds."""
    layout, chunks, offset = {}, [], 0
    for name, shape in sorted(shapes(config).items()):
        rows = weights[name] if len(shape) == 2 else [weights[name]]
        chunk = b"".join(struct.pack(f"<{len(row)}e", *row) for row in rows)
        layout[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + len(chunk)]}
        chunks.append(chunk)
        offset += len(chunk)
    tensors = b"".join(chunks)
    claim = {
        "format": 1,
        "config": config,
        "tokenizer": tokenizer,
        "recipe": recipe,
        "verse": {"ids": list(ids), "text": text_of(tokenizer, ids, recipe["lines"])},
        "certificate": {
            "smallest_gap": smallest_gap,
            "position": position,
            "tokens": len(ids),
            "ids_sha256": ids_sha256(ids),
            "engine": "verse-1",
        },
        "provenance": provenance,
        "tensors_sha256": hashlib.sha256(tensors).hexdigest(),
    }
    inner = json.dumps(claim, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    outer = {"__metadata__": {"verse": inner}, **layout}
    header = json.dumps(outer, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + tensors


class Refused(Exception):
    """A file that is no bundle; its one argument is the code of the rule."""


def strict_json(data: bytes, code: str) -> Any:
    """JSON that has one meaning."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in items}) < len(items):
            raise ValueError("a key twice")
        return dict(items)

    def number(text: str) -> Any:
        value = float(text)
        if text == "-0" or not math.isfinite(value):
            raise ValueError(text)
        return int(text) if text.lstrip("-").isdigit() else value

    def depth(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    try:
        text = data.decode("utf-8", "strict")
        value = json.loads(text, object_pairs_hook=pairs, parse_int=number, parse_float=number, parse_constant=number)
        json.dumps(value, ensure_ascii=False).encode("utf-8", "strict")
        if depth(value) > 64:
            raise ValueError("too deep")
    except (ValueError, RecursionError):
        raise Refused(code) from None
    return value


def is_integer(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def has_keys(value: Any, *keys: str) -> bool:
    return isinstance(value, dict) and set(value) == set(keys)


def need(code: str, rule: object) -> None:
    if not rule:
        raise Refused(code)


def check_config(config: Any) -> None:
    need("config", has_keys(config, "arch", "n_layer", "n_head", "n_embd", "block_size", "vocab_size"))
    need("config", config["arch"] in ("modern", "gpt2"))
    need("config", is_integer(config["n_layer"], 1, 64) and is_integer(config["n_embd"], 8, 4096))
    need("config", is_integer(config["n_head"], 1, 4096) and config["n_embd"] % config["n_head"] == 0)
    need("config", config["n_embd"] // config["n_head"] in (8, 16, 32, 64, 128))
    need("config", is_integer(config["block_size"], 1, 1024) and is_integer(config["vocab_size"], 2, 65_536))
    need("config", 2 * sum(map(math.prod, shapes(config).values())) <= 190 * 2**20)


def check_tokenizer(tokenizer: Any, size: int) -> None:
    is_char = has_keys(tokenizer, "kind", "symbols") and tokenizer["kind"] == "char"
    need("tokenizer", is_char or (has_keys(tokenizer, "kind", "symbols", "merges") and tokenizer["kind"] == "bpe"))
    symbols, merges = tokenizer["symbols"], [] if is_char else tokenizer["merges"]
    need("tokenizer", isinstance(symbols, str) and len(set(symbols)) == len(symbols) >= 2)
    need("tokenizer", isinstance(merges, list) and len(symbols) + len(merges) == size)
    lengths = [1] * len(symbols)
    for pair in merges:
        need("tokenizer", isinstance(pair, list) and len(pair) == 2)
        need("tokenizer", all(is_integer(token, 0, len(lengths) - 1) for token in pair))
        lengths.append(lengths[pair[0]] + lengths[pair[1]])
        need("tokenizer", lengths[-1] <= 16)


def check_recipe(recipe: Any, config: Mapping[str, Any]) -> None:
    size = config["vocab_size"]
    need("recipe", has_keys(recipe, "prompt_ids", "temperature", "top_k", "seed", "tokens", "lines"))
    prompt = recipe["prompt_ids"]
    need("recipe", isinstance(prompt, list) and 1 <= len(prompt) <= 1024)
    need("recipe", all(is_integer(token, 0, size - 1) for token in prompt))
    need("recipe", is_integer(recipe["temperature"], 0, 200) and is_integer(recipe["top_k"], 0, size))
    need("recipe", is_integer(recipe["seed"], 0, 2**32 - 1) and is_integer(recipe["tokens"], 1, 1024))
    need("recipe", is_integer(recipe["lines"], 0, 64))
    need("recipe", config["arch"] != "gpt2" or len(prompt) + recipe["tokens"] <= config["block_size"])


def ends_after(tokenizer: Mapping[str, Any], recipe: Mapping[str, Any], ids: Sequence[int]) -> int | None:
    """How many of the ids the verse has; None if it is longer."""
    tokens = token_texts(tokenizer)
    for count in range(1, min(len(ids), recipe["tokens"]) + 1):
        complete = cut("".join(tokens[i] for i in ids[:count]), recipe["lines"]) is not None
        if complete or count == recipe["tokens"]:
            return count
    return None


def check_claim(claim: Mapping[str, Any], entries: Mapping[str, Any]) -> int:
    """Check a claim and the tensors' entries; return the length of the tensors."""
    config = claim["config"]
    check_config(config)
    layout = shapes(config)
    need("tensor-names", set(entries) == set(layout))
    offset = 0
    for name, shape in sorted(layout.items()):
        entry = entries[name]
        need("tensor-entry", has_keys(entry, "dtype", "shape", "data_offsets"))
        need("tensor-dtype", entry["dtype"] == "F16")
        need("tensor-shape", json.dumps(entry["shape"]) == json.dumps(shape))
        end = offset + 2 * math.prod(shape)
        need("tensor-layout", json.dumps(entry["data_offsets"]) == json.dumps([offset, end]))
        offset = end
    check_tokenizer(claim["tokenizer"], config["vocab_size"])
    check_recipe(claim["recipe"], config)
    verse, tokenizer, recipe = claim["verse"], claim["tokenizer"], claim["recipe"]
    need("verse", has_keys(verse, "ids", "text") and isinstance(verse["ids"], list))
    ids = verse["ids"]
    need("verse", all(is_integer(token, 0, config["vocab_size"] - 1) for token in ids))
    need("verse-length", ends_after(tokenizer, recipe, ids) == len(ids))
    text = text_of(tokenizer, ids, recipe["lines"])
    need("not-text", text is not None)
    need("text", verse["text"] == text)
    certificate = claim["certificate"]
    need("certificate", has_keys(certificate, "smallest_gap", "position", "tokens", "ids_sha256", "engine"))
    gap = certificate["smallest_gap"]
    need("certificate", type(gap) in (int, float) and gap >= 0)
    need("certificate", is_integer(certificate["tokens"], len(ids), len(ids)))
    need("certificate", is_integer(certificate["position"], 0, len(ids) - 1))
    need("certificate", certificate["ids_sha256"] == ids_sha256(ids) and certificate["engine"] == "verse-1")
    need("provenance", isinstance(claim["provenance"], dict))
    curve = claim["provenance"].get("loss_curve", [])
    need("provenance", isinstance(curve, list) and len(curve) <= 200)
    digest = claim["tensors_sha256"]
    need("digest", isinstance(digest, str) and len(digest) == 64 and not set(digest) - set("0123456789abcdef"))
    return offset


def read(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Section 7: a claim and its weights as lists of numbers; or `Refused`."""
    need("empty", data)
    need("too-large", len(data) <= 192 * 2**20)
    need("too-short", len(data) >= 8)
    (length,) = struct.unpack("<Q", data[:8])
    need("header-length", 2 <= length <= 2**20)
    need("truncated", len(data) >= 8 + length)
    header = strict_json(data[8 : 8 + length], "header-json")
    need("no-claim", isinstance(header, dict) and has_keys(header.get("__metadata__"), "verse"))
    text = header.pop("__metadata__")["verse"]
    need("no-claim", isinstance(text, str))
    claim = strict_json(text.encode(), "claim-json")
    need("claim-json", isinstance(claim, dict))
    need("format", is_integer(claim.get("format"), 1, 1))
    keys = ("format", "config", "tokenizer", "recipe", "verse", "certificate", "provenance", "tensors_sha256")
    need("claim-keys", has_keys(claim, *keys))
    size = check_claim(claim, header)
    tensors = data[8 + length :]
    need("truncated", len(tensors) >= size)
    need("trailing-bytes", len(tensors) <= size)
    need("digest", hashlib.sha256(tensors).hexdigest() == claim["tensors_sha256"])
    weights: dict[str, Any] = {}
    for name, shape in shapes(claim["config"]).items():
        start, stop = header[name]["data_offsets"]
        numbers = struct.unpack(f"<{math.prod(shape)}e", tensors[start:stop])
        need("weights", all(math.isfinite(number) and abs(number) <= 1000 for number in numbers))
        rows = [list(numbers[at : at + shape[-1]]) for at in range(0, len(numbers), shape[-1])]
        weights[name] = rows if len(shape) == 2 else rows[0]
    return claim, weights


def judge(data: bytes) -> str:
    """The code of the first broken rule, or the verdict."""
    try:
        claim, weights = read(data)
    except Refused as refused:
        return str(refused)
    return verse_verdict(claim["config"], weights, claim["recipe"], claim["verse"]["ids"])[0]

"""Golden vectors and attacks find mistakes: of the reference engine, copies with one deliberate mistake each."""

# ruff: noqa: E501  (a line a mistake)

from __future__ import annotations

import types
from pathlib import Path

import pytest

from tests.support import reference_engine as reference
from tests.support.golden_checks import differences

SOURCE = Path(reference.__file__).read_text("utf-8")
# What somebody may get wrong while reading SPEC.md, and the line of the reference engine that says so.
MISTAKES: list[tuple[str, str, str]] = [
    ("epsilon of 1e-5", "EPSILON = 1e-6", "EPSILON = 1e-5"),
    ("a residual is not added", "xs[p] = plus(x, times(hidden,", "xs[p] = plus([0.0] * len(x), times(hidden,"),
    ("LayerNorm without its mean", "math.fsum((a - mean) ** 2 for a in x)", "math.fsum(a**2 for a in x)"),
    ("variance over n - 1", "for a in x) / len(x) + EPSILON)", "for a in x) / (len(x) - 1) + EPSILON)"),
    ("gelu with erf", "math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))", "math.erf(x / math.sqrt(2))"),
    ("ReLU that is not squared", "max(0.0, a) ** 2", "max(0.0, a)"),
    ("rotation the other way round", "x[i] * c - x[half + i] * s", "x[i] * c + x[half + i] * s"),
    ("neighbours rotated, not halves", "first[i] = x[i] * c - x[half + i] * s", "first[i] = x[2 * i] * c - x[2 * i + 1] * s"),
    ("frequencies of the widest head", "n = i * 128 // len(x)", "n = i"),
    ("positions from 1", "rotate(rms_norm(q, weights[f\"{name}.q_norm.weight\"]), position)", "rotate(rms_norm(q, weights[f\"{name}.q_norm.weight\"]), position + 1)"),
    ("no norm of keys", "rotate(rms_norm(k, weights[f\"{name}.k_norm.weight\"]), position)", "rotate(k, position)"),
    ("gains of keys and queries exchanged", "q_norm.weight\"]), position)", "k_norm.weight\"]), position)"),
    ("a window one too wide", "p - config[\"block_size\"] + 1)", "p - config[\"block_size\"])"),
    ("no window", "range(max(0, p - config[\"block_size\"] + 1), p + 1)", "range(p + 1)"),
    ("scores over D", "/ math.sqrt(size) for j in seen", "/ size for j in seen"),
    ("heads interleaved", "qkv[p * width + h * size : p * width + (h + 1) * size]", "qkv[p * width : (p + 1) * width][h::heads]"),
    ("two previous tokens", "for offset in range(1, 4):\n        if f\"previous", "for offset in range(1, 3):\n        if f\"previous"),
    ("previous tokens wrap around", "if p >= offset else x", "if p or not offset else x"),
    ("no previous tokens at 512", "config[\"vocab_size\"] <= 512", "config[\"vocab_size\"] < 10"),
    ("positions of gpt2 from 1", "weights[\"wpe.weight\"][position])", "weights[\"wpe.weight\"][(position + 1) % len(weights[\"wpe.weight\"])])"),
    ("no soft cap", "15 * math.tanh(a / 15) for a in", "a for a in"),
    ("a soft cap of 30", "15 * math.tanh(a / 15)", "30 * math.tanh(a / 30)"),
    ("noise in little-endian", "\">16sIII\"", "\"<16sIII\""),
    ("words in little-endian", "\">4Q\"", "\"<4Q\""),
    ("a digest for each id", "token // 4)).digest()", "token)).digest()"),
    ("53 bits", "[token % 4] >> 12", "[token % 4] >> 11"),
    ("u without its half", "(2 * n + 1) / 2**53", "(2 * n + 2) / 2**53"),
    ("logistic noise", "-math.log(-math.log((2 * n + 1) / 2**53))", "-math.log(2**53 / (2 * n + 1) - 1)"),
    ("position in the text, not in the verse", "noise_integer(recipe[\"seed\"], position, j))", "noise_integer(recipe[\"seed\"], position + len(prompt), j))"),
    ("temperature divides", "s = [z[j] + temperature / 100 * g[j] for j in range(size)]", "s = [z[j] / max(temperature, 1) * 100 + g[j] for j in range(size)]"),
    ("temperature in tenths", "s = [z[j] + temperature / 100", "s = [z[j] + temperature / 10"),
    ("equal logits by the highest id", "order = sorted(range(size), key=lambda j: (-z[j], j))\n    inside", "order = sorted(range(size), key=lambda j: (-z[j], -j))\n    inside"),
    ("equal scores by the highest id", "w = min(inside, key=lambda j: (-s[j], j))", "w = min(inside, key=lambda j: (-s[j], -j))"),
    ("all candidates equal to the last one", "inside, outside = order[:k], order[k:]", "inside, outside = [j for j in order if z[j] >= z[order[k - 1]]], [j for j in order if z[j] < z[order[k - 1]]]"),
    ("candidates by score", "order = sorted(range(size), key=lambda j: (-z[j], j))\n    inside", "order = sorted(range(size), key=lambda j: (-z[j] - temperature / 100 * g[j], j))\n    inside"),
    ("a gap without outsiders", "gap = min(gap, max(z[inside[-1]] - z[j], s[w] - s[j]))", "pass"),
    ("an outsider needs only to enter", "max(z[inside[-1]] - z[j], s[w] - s[j])", "z[inside[-1]] - z[j]"),
    ("an outsider needs only to overtake", "max(z[inside[-1]] - z[j], s[w] - s[j])", "abs(s[w] - s[j])"),
    ("the winner cannot leave", "gap = min(gap, z[w] - z[outside[0]])", "pass"),
    ("the last of equal gaps", "gaps.index(min(gaps))", "len(gaps) - 1 - gaps[::-1].index(min(gaps))"),
    ("a bound without the estimate", "max(1e-6, 4 * estimate)", "1e-6"),
    ("a bound of one estimate", "4 * estimate", "estimate"),
    ("the estimate alone", "max(1e-6, 4 * estimate)", "4 * estimate"),
    ("a gap equal to the bound passes", "if gap > bound else", "if gap >= bound else"),
    ("a difference equal to the bound fails", "if ahead > bound or beyond", "if ahead >= bound or beyond"),
    ("another token always fails", "return \"FAIL\" if ahead > bound or beyond else \"UNDECIDED\"", "return \"FAIL\""),
    ("refuted by the score alone", "ahead = min(ahead, z[w] - z[order[k]])", "pass"),
    ("outsiders are not refuted", "if ahead > bound or beyond else", "if ahead > bound else"),
    ("the first undecided step ends the replay", "if verdict == \"UNDECIDED\" and undecided is None:\n            undecided = found", "if verdict == \"UNDECIDED\":\n            return found"),
    ("the last failing step is named", "if verdict == \"FAIL\":\n            return found", "if verdict == \"FAIL\":\n            undecided = found"),
    ("lines of white space count", "full += any(c != \" \" for c in line)", "full += bool(line)"),
    ("lines of tabs are empty", "any(c != \" \" for c in line)", "bool(line.strip())"),
    ("empty lines count", "full += any(c != \" \" for c in line)", "full += 1"),
    ("the cut after the line feed", "return place\n        line", "return place + 1\n        line"),
    ("the text of whole tokens", "text if end is None else text[:end]", "text"),
    ("tabs are text", "{*range(0x0A),", "{*range(0x09),"),
    ("a carriage return is text", "*range(0x0B, 0x20)", "*range(0x0B, 0x0D), *range(0x0E, 0x20)"),
    ("C1 controls are text", "*range(0x7F, 0xA0)", "0x7F"),
    ("the Arabic letter mark is text", "0x061C, ", ""),
    ("isolates are text", "*range(0x2066, 0x206A)", "*()"),
    ("the last embedding is text", "range(0x202A, 0x202F)", "range(0x202A, 0x202E)"),
    ("merges in the other order", "tokens.append(tokens[a] + tokens[b])", "tokens.append(tokens[b] + tokens[a])"),
    ("ids in little-endian", "struct.pack(\">I\", i)", "struct.pack(\"<I\", i)"),
    ("tensors in the order of the table", "for name, shape in sorted(shapes(config).items()):\n        rows", "for name, shape in shapes(config).items():\n        rows"),
    ("layers sorted by number", "for name, shape in sorted(layout.items()):\n        entry", "for name, shape in sorted(layout.items(), key=lambda item: [len(item[0].split('.')[1]), item[0]]):\n        entry"),
    ("weights in big-endian", "struct.unpack(f\"<{math.prod(shape)}e\"", "struct.unpack(f\">{math.prod(shape)}e\""),
    ("escapes for all but ASCII", "separators=(\",\", \":\"), ensure_ascii=False)\n    outer", "separators=(\",\", \":\"))\n    outer"),
    ("keys in any order", "sort_keys=True, ", ""),
    ("a header that is not filled up", "header += b\" \" * (-len(header) % 8)", "pass"),
    ("a key may stand twice", "if len({key for key, _ in items}) < len(items):", "if False:"),
    ("numbers beyond binary64", "if text == \"-0\" or not math.isfinite(value):", "if text == \"-0\":"),
    ("minus zero is an integer", "if text == \"-0\" or not math.isfinite(value):", "if not math.isfinite(value):"),
    ("half surrogate pairs", ".encode(\"utf-8\", \"strict\")\n        if depth", "\n        if depth"),
    ("depth without the outermost", "if depth(value) > 64:", "if depth(value) > 65:"),
    ("depth of 63", "if depth(value) > 64:", "if depth(value) > 63:"),
    ("2.0 is an integer", "type(value) is int and low", "value == int(value) and low"),
    ("true is an integer", "type(value) is int and low", "isinstance(value, int) and low"),
    ("more keys are allowed", "set(value) == set(keys)", "set(value) >= set(keys)"),
    ("65 layers", "config[\"n_layer\"], 1, 64)", "config[\"n_layer\"], 1, 65)"),
    ("any width of heads", "in (8, 16, 32, 64, 128))", "> 0)"),
    ("no bound on the weights' bytes", "<= 190 * 2**20", "> 0"),
    ("any type of two bytes", "entry[\"dtype\"] == \"F16\"", "entry[\"dtype\"] in (\"F16\", \"BF16\")"),
    ("shapes by value", "json.dumps(entry[\"shape\"]) == json.dumps(shape)", "entry[\"shape\"] == shape"),
    ("shapes by size", "json.dumps(entry[\"shape\"]) == json.dumps(shape)", "math.prod(entry[\"shape\"]) == math.prod(shape)"),
    ("tensors anywhere", "json.dumps(entry[\"data_offsets\"]) == json.dumps([offset, end])", "entry[\"data_offsets\"][1] - entry[\"data_offsets\"][0] == end - offset"),
    ("tokens of 256 characters", "lengths[-1] <= 16", "lengths[-1] <= 256"),
    ("symbols may be equal", "len(set(symbols)) == len(symbols) >= 2", "len(symbols) >= 2"),
    ("merges count from 256", "merges = tokenizer[\"symbols\"], [] if is_char", "merges = tokenizer[\"symbols\"].ljust(256), [] if is_char"),
    ("long prompts", "1 <= len(prompt) <= 1024", "1 <= len(prompt)"),
    ("top_k beyond the vocabulary", "recipe[\"top_k\"], 0, size)", "recipe[\"top_k\"], 0, 65_536)"),
    ("gpt2 beyond its positions", "len(prompt) + recipe[\"tokens\"] <= config", "recipe[\"tokens\"] <= config"),
    ("a verse that goes on", "ends_after(tokenizer, recipe, ids) == len(ids)", "True"),
    ("any text", "need(\"text\", verse[\"text\"] == text)", "pass"),
    ("another engine", " and certificate[\"engine\"] == \"verse-1\"", ""),
    ("a position after the end", "certificate[\"position\"], 0, len(ids) - 1)", "certificate[\"position\"], 0, len(ids))"),
    ("digests in capitals", "digest = claim[\"tensors_sha256\"]", "digest = claim[\"tensors_sha256\"] = claim[\"tensors_sha256\"].lower()"),
    ("what follows the tensors", "need(\"trailing-bytes\", len(tensors) <= size)", "tensors = tensors[:size]"),
    ("a digest that is not computed", "hashlib.sha256(tensors).hexdigest() == claim[\"tensors_sha256\"]", "True"),
    ("infinite weights", "math.isfinite(number) and abs(number) <= 1000", "not abs(number) <= 1000 or True"),
    ("weights of any size", "math.isfinite(number) and abs(number) <= 1000", "math.isfinite(number)"),
]  # fmt: skip


def mistaken(old: str, new: str) -> types.ModuleType:
    """The reference engine with one mistake, wherever the text stands."""
    assert old in SOURCE, f"the reference engine no longer says {old!r}"
    module = types.ModuleType("mistaken")
    exec(compile(SOURCE.replace(old, new), "mistaken", "exec"), module.__dict__)  # our own source
    return module


def test_the_reference_engine_reproduces_all_golden_vectors_and_attacks() -> None:
    assert list(differences(reference)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new"), [pytest.param(old, new, id=what.replace(" ", "_")) for what, old, new in MISTAKES]
)
def test_a_mistake_is_found(old: str, new: str) -> None:
    assert next(differences(mistaken(old, new)), None) is not None


def test_the_mistakes_are_many_and_different() -> None:
    assert len({(old, new) for _, old, new in MISTAKES}) == len(MISTAKES) >= 40

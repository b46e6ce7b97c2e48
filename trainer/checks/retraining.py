"""Compares a bundle with the model that its written plan gives when it is trained again. No verdict follows from it.

On the same kind of processor, with the same versions, the weights come out bit for bit. Elsewhere sums are rounded in
another order, and the two trainings drift apart: there, numbers are compared with how far apart the same training was
on other kernels and other numbers of threads (NOTES.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.checks.comparison import MAX_DETAIL, PARTS, Comparison
from trainer.checks.likelihood import verse_bits
from trainer.checks.weights import pair_cosines
from trainer.verse.bundle import Bundle
from trainer.verse.model import VerseModel

Point = tuple[int, float, float]  # step, training loss, validation loss in nats per token

ROUNDING = 2e-4  # nats: losses of a record have four digits, and weights in float16 move them as much
CURVE_DRIFT = 0.05  # nats, of a point of the curve on other kernels
LOSS_DRIFT = 0.01  # nats, of the held-out loss on other kernels
VERSE_DRIFT = 0.15  # of the verse's surprisal
LEAST_COSINE = 0.3  # of the median matrix: it falls with the length of a run in bf16; of another seed it is 0
SAME_KIND = ("device", "system", "processor")  # of a record: what decides the order of sums, with the versions below
SAME_VERSIONS = ("verse-arena", "torch")


@dataclass(frozen=True)
class Estimate:
    """What training again takes on this machine."""

    seconds: float
    memory: int  # bytes


@dataclass(frozen=True)
class Retrained:
    """What training again gave, and what is measured on it and on the bundle."""

    curve: tuple[Point, ...]
    weights: Mapping[str, NDArray[np.float16]]  # rounded as a bundle stores them
    loss: float  # of these weights on held-out text, nats per token
    bundle_loss: float  # of the bundle's weights on the same text
    obstacle: str  # why the bits may differ although everything is honest; "": they may not


def unlike(record: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return in what this machine differs from the one that a record names; "" if sums are the same on both.

    Args:
        record: A bundle's provenance.
        here: What `trainer.device.describe_device` says about this machine.
    """
    for name in SAME_KIND:
        if record.get(name) != here[name]:
            return f"the record names {'another' if name in record else 'no'} {name}"
    versions = record.get("versions")
    for name in SAME_VERSIONS:
        if not isinstance(versions, dict) or versions.get(name) != here["versions"][name]:
            return f"the record names another version of {name}"
    return ""


def compare_event(provenance: Mapping[str, Any], nonce: str | None, owner: str) -> Comparison:
    """Compare what keyed a training with the event and the entry's author.

    Args:
        provenance: Of the bundle.
        nonce: Of the event; None: it has none.
        owner: Id of the entry's owner.
    """
    train = provenance.get("train")
    said = (train.get("nonce"), train.get("owner")) if isinstance(train, dict) else (None, None)
    if nonce is None or not said[0]:
        why = "this event has no nonce" if nonce is None else "it does not say that it was trained for an event"
        return Comparison("event", "cannot be compared", f"{why}: nothing shows when it was trained")
    if said != (nonce, owner):
        which = "another author" if said[0] == nonce else "another event"
        return Comparison("event", "does not agree", f"it says that it was trained for {which}")
    return Comparison("event", "agrees", "the event's nonce and the author's id key the training")


def not_comparable(why: str) -> list[Comparison]:
    """Return that a record does not fit together, so that nothing can be trained again and compared."""
    others = [part for part in PARTS if part not in ("event", "record")]
    nothing = "what the record tells cannot be trained"
    return [
        Comparison("record", "does not agree", why[:MAX_DETAIL]),
        *(Comparison(part, "cannot be compared", nothing) for part in others),
    ]


def compare(bundle: Bundle, curve: Sequence[Point], again: Retrained) -> list[Comparison]:
    """Compare a bundle with what training it again gave.

    Args:
        bundle: The file, whose record fits together.
        curve: Of its record.
        again: What was trained.
    """
    return [
        Comparison("record", "agrees", "it could be trained again as it is written"),
        compare_curves(curve, again.curve, exact=not again.obstacle),
        compare_loss(bundle.claim.provenance, curve, again),
        compare_verse(bundle, again),
        *compare_weights(bundle, again),
    ]


def compare_curves(record: Sequence[Point], again: Sequence[Point], *, exact: bool) -> Comparison:
    """Compare the losses of a record with those of the new training, point by point.

    Args:
        record: Of the bundle.
        again: Of the new training.
        exact: Whether they must be the same.
    """
    new = {step: losses for step, *losses in again}
    gaps = [
        (abs(old - new[step][kind]), step, old, new[step][kind])
        for step, *losses in record
        for kind, old in enumerate(losses)
        if step in new
    ]
    if not gaps:
        return Comparison("curve", "cannot be compared", "the record holds no point of the curve")
    gap, step, old, was = max(gaps)
    detail = f"{len(gaps) // 2} points; most apart at step {step:,}: {old:.4f} in the record, {was:.4f} trained again"
    return Comparison("curve", "agrees" if gap <= (ROUNDING if exact else CURVE_DRIFT) else "does not agree", detail)


def compare_loss(provenance: Mapping[str, Any], curve: Sequence[Point], again: Retrained) -> Comparison:
    """Compare the held-out loss that the record names, that of the bundle's weights, and that of the new ones.

    Args:
        provenance: Of the bundle.
        curve: Of the record.
        again: What was trained.
    """
    said = next((val for step, _, val in curve if step == provenance.get("steps")), None)
    drift = LOSS_DRIFT if again.obstacle else ROUNDING
    agrees = abs(again.bundle_loss - again.loss) <= drift
    if said is not None:
        agrees = agrees and abs(said - again.bundle_loss) <= 10 * ROUNDING
    record = "not in the record" if said is None else f"{said:.4f} in the record"
    detail = f"{record}; {again.bundle_loss:.4f} with its weights, {again.loss:.4f} trained again, in nats per token"
    return Comparison("loss", "agrees" if agrees else "does not agree", detail)


def compare_verse(bundle: Bundle, again: Retrained) -> Comparison:
    """Compare the surprisal of the verse under both models.

    Args:
        bundle: The file.
        again: What was trained.
    """
    claim = bundle.claim
    own, new = (
        verse_bits(VerseModel(claim.config, w).single_precision(), claim.recipe.prompt_ids, claim.ids, len(claim.text))
        for w in (bundle.weights, again.weights)
    )
    drift = VERSE_DRIFT if again.obstacle else 1e-4
    detail = f"{own:.3f} bits a character for its model, {new:.3f} for the one trained again"
    return Comparison("verse", "agrees" if abs(own - new) <= drift * max(own, new, 1e-9) else "does not agree", detail)


def compare_weights(bundle: Bundle, again: Retrained) -> list[Comparison]:
    """Compare the weights: their direction, and their bits.

    Args:
        bundle: The file.
        again: What was trained.
    """
    cosines = pair_cosines(bundle.weights, again.weights)
    least = min(cosines, key=lambda name: cosines[name])
    middle = median(cosines.values())
    differ = sum(int((bundle.weights[name] != weight).sum()) for name, weight in again.weights.items())
    same = all(bundle.weights[name].tobytes() == weight.tobytes() for name, weight in again.weights.items())
    likeness = Comparison(
        "likeness",
        "agrees" if middle >= LEAST_COSINE else "does not agree",
        f"the median cosine of {len(cosines)} matrices is {middle:.4f}; the least, of {least}, {cosines[least]:.4f}",
    )
    if same:
        return [likeness, Comparison("weights", "agrees", "every weight is the same")]
    detail = f"{differ:,} of {bundle.claim.config.n_params:,} weights differ"
    if again.obstacle:
        return [likeness, Comparison("weights", "cannot be compared", f"{again.obstacle}, and {detail}")]
    return [likeness, Comparison("weights", "does not agree", f"{detail}, on the same kind of processor")]

"""Rules that turn numbers into a verdict: pure functions, written down before anything is measured.

An effect is one number a seed, signed so that positive is what the claim says. Its interval is the 95 % t
interval over seeds. Where a seed has many test units (documents, families), a second interval is the
bootstrap over units of the mean over seeds; a verdict for or against needs both on the same side, for both
sources of chance count (Sellam et al. 2022).
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.stats import t as student

from headstart.errors import HeadstartError
from headstart.page.numbers import significant

VERSION = 1
"""Raised by hand when a rule comes to judge otherwise."""
LEVEL, POWER = 0.95, 0.8
DRAWS = 2000
FEW = 3
"""So many parts are told one by one."""

Word = Literal["supported", "not-supported", "contradicted"]
Value = float | list[float] | dict[str, float]
Evidence = Mapping[str, Sequence[Value]]
"""What was measured: name -> one value a seed; a value is a number, or one number for each test unit or
level, by the unit's name where it has one."""


@dataclass(frozen=True)
class Estimate:
    """An effect over seeds and units."""

    mean: float
    """Of an exact rule, which knows no mean: the value that is furthest off."""
    deviation: float | None
    """Of the seeds' values; None: there is one seed."""
    seeds: int
    interval: tuple[float, float] | None
    """95 %, over seeds (t)."""
    units: int = 0
    unit_interval: tuple[float, float] | None = None
    """95 %, over test units (bootstrap of the mean over seeds)."""
    visible: float | None = None
    """The smallest effect that such an experiment sees four times in five."""

    @property
    def intervals(self) -> list[tuple[float, float]]:
        return [one for one in (self.interval, self.unit_interval) if one is not None]

    def above(self, bound: float) -> bool:
        """Whether the mean and all intervals, of which there is one at least, lie above `bound`."""
        return bool(self.intervals) and self.mean > bound and all(low > bound for low, _ in self.intervals)

    def below(self, bound: float) -> bool:
        return bool(self.intervals) and self.mean < bound and all(high < bound for _, high in self.intervals)

    @property
    def outer(self) -> tuple[float, float]:
        """From the lowest to the highest end of the intervals."""
        ends = [end for one in self.intervals for end in one] or [self.mean]
        return min(ends), max(ends)


def estimate(values: Sequence[Value]) -> Estimate:
    """The mean of an effect with its intervals.

    Args:
        values: one a seed; lists hold one number for each test unit, in the same order for all seeds.

    Raises:
        HeadstartError: seeds with different numbers of units, or a value that is no number.
    """
    try:
        table = np.asarray(values, float)  # [seeds] or [seeds, units]
    except ValueError:
        raise HeadstartError("seeds of one effect have different numbers of test units") from None
    if not table.size or not np.isfinite(table).all():
        raise HeadstartError("an effect has no values, or values that are no numbers")
    seeds = len(table)
    by_seed = table.mean(axis=1) if table.ndim == 2 else table
    mean = float(by_seed.mean())
    deviation = interval = visible = unit_interval = None
    units = table.shape[1] if table.ndim == 2 else 0
    if seeds > 1:
        deviation = float(by_seed.std(ddof=1))
        error = deviation / math.sqrt(seeds)
        reach = float(student.ppf((1 + LEVEL) / 2, seeds - 1))
        interval = (mean - reach * error, mean + reach * error)
        visible = (reach + float(student.ppf(POWER, seeds - 1))) * error
    if units > 1:
        by_unit = table.mean(axis=0)
        random = np.random.default_rng(0)
        drawn = by_unit[random.integers(0, units, (DRAWS, units))].mean(axis=1)
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        unit_interval = (float(low), float(high))
        seen = (1.96 + 0.84) * float(drawn.std())
        visible = seen if visible is None else max(visible, seen)
    return Estimate(mean, deviation, seeds, interval, units, unit_interval, visible)


@dataclass(frozen=True)
class Part:
    """The verdict on one effect."""

    effect: str
    rule: str
    """In words."""
    verdict: Word
    reason: str
    """Why it is not supported: no effect, too noisy, beyond this scale; else empty."""
    because: str
    unit: str
    estimate: Estimate | None = None
    margin: float | None = None
    """In the effect's unit: what the picture of all claims divides by."""
    centre: float = 0.0
    """What the effect is compared with, in the picture of all claims."""
    holds: tuple[float | None, float | None] = (None, None)
    """Between which values the claim holds; None: no end."""


@dataclass(frozen=True)
class Verdict:
    """What a rule says."""

    verdict: Word
    reason: str
    because: str
    parts: tuple[Part, ...]


class Rule(ABC):
    """Judges evidence."""

    @abstractmethod
    def parts(self, evidence: Evidence, own_data: bool) -> list[Part]:
        """The verdict on each effect."""

    @abstractmethod
    def effects(self) -> list[str]:
        """The effects that it looks at."""

    def judge(self, evidence: Evidence, own_data: bool = False) -> Verdict:
        """The verdict.

        Args:
            own_data: whether the text is the user's, not the repository's samples.
        """
        (part,) = self.parts(evidence, own_data)
        return Verdict(part.verdict, part.reason, part.because, (part,))

    def words(self) -> str:
        """The rule in words."""
        raise NotImplementedError

    def canonical(self) -> dict[str, Any]:
        """What the registration hashes."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}  # type: ignore[attr-defined]
        return {"rule": type(self).__name__, **{name: _plain(value) for name, value in fields.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Rule):
        return value.canonical()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return repr(value) if isinstance(value, float) else value


def effect_values(effect: str, evidence: Evidence) -> list[Value]:
    """The values of an effect: a measured name, or the difference of two, paired by seed and unit.

    Raises:
        HeadstartError: a name that was not measured.
    """
    if effect in evidence:
        return _numbers(effect, evidence[effect], evidence[effect])
    names = [name.strip() for name in re.split(r"\s-\s", effect)]
    for name in names:
        if name not in evidence:
            raise HeadstartError(
                f"the rule asks for {name!r}, which was not measured; known: {', '.join(evidence)}"
            )
    first, second = (_numbers(effect, evidence[name], evidence[names[0]]) for name in names)
    pairs = zip(first, second, strict=True)
    return [(np.asarray(a, float) - np.asarray(b, float)).tolist() for a, b in pairs]


def _numbers(effect: str, values: Sequence[Value], like: Sequence[Value]) -> list[Value]:
    """The values with the units of every seed in the order of those in `like`, where they have names.

    Raises:
        HeadstartError: not all were measured on the same units.
    """
    units = like[0] if like else None
    if not isinstance(units, dict):
        return list(values)
    found: list[Value] = []
    for one in values:
        if not isinstance(one, dict) or set(one) != set(units):
            raise HeadstartError(f"{effect}: not all of it was measured on the same units; measure it again")
        found.append([one[unit] for unit in units])
    return found


@dataclass(frozen=True)
class _OnEffect(Rule):
    """A rule on one effect."""

    effect: str

    def effects(self) -> list[str]:
        return [self.effect]

    def parts(self, evidence: Evidence, own_data: bool) -> list[Part]:
        return [self.part(effect_values(self.effect, evidence))]

    @abstractmethod
    def part(self, values: list[Value]) -> Part:
        """The verdict on the effect's values."""


@dataclass(frozen=True)
class Exact(_OnEffect):
    """The largest distance from a value, over all seeds and units, is at most a tolerance."""

    tolerance: float = 0.0
    against: float = 0.0
    unit: str = ""

    def part(self, values: list[Value]) -> Part:
        numbers = np.concatenate([np.atleast_1d(np.asarray(one, float)) for one in values])
        off = float(np.abs(numbers - self.against).max())
        holds = off <= self.tolerance
        asked = f"{_number(self.against)}{_unit(self.unit)}"
        if len(numbers) == 1:
            because = f"{self.effect} is {_number(float(numbers[0]))}, and {asked} was asked"
        elif holds:
            because = f"{self.effect}: of {len(numbers)} values none is more than {_number(off)} off {asked}"
        else:
            because = f"{self.effect}: of {len(numbers)} values one is {off:.5g} off {asked}"
        because += f", where {_number(self.tolerance)} is allowed" if self.tolerance else ", exactly"
        word: Word = "supported" if holds else "contradicted"
        furthest = float(numbers[np.abs(numbers - self.against).argmax()])
        found = Estimate(furthest, None, len(values), None, len(numbers) // len(values))
        margin = self.tolerance or None
        ends = (self.against - self.tolerance, self.against + self.tolerance)
        return Part(
            self.effect, self.words(), word, "", because, self.unit, found, margin, self.against, ends
        )

    def words(self) -> str:
        around = f" of {_number(self.against)}" if self.against else ""
        return f"{self.effect}: never more than {_number(self.tolerance)} off{around}{_unit(self.unit)}"


@dataclass(frozen=True)
class Gain(_OnEffect):
    """Better by at least a margin; with enough seeds anything is significant, so there is always one."""

    margin: float
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise HeadstartError(
                f"the rule on {self.effect!r} needs a margin above 0: how much would matter?"
            )

    def part(self, values: list[Value]) -> Part:
        return self._judged(estimate(values))

    def _judged(self, found: Estimate) -> Part:
        m, word, reason = self.margin, "not-supported", ""
        said = _said(self.effect, found, self.unit)
        if found.above(0) and found.mean >= m:
            word, why = "supported", f"at least {_number(m)} was asked"
        elif found.below(0) and found.mean <= -m:
            word, why = "contradicted", f"it is the reverse, by more than the margin of {_number(m)}"
        elif found.intervals and found.outer[1] < m:
            reason, why = "no effect", f"the interval lies below the margin of {_number(m)}"
        else:
            reason, why = (
                "too noisy",
                f"the interval holds values on both sides of the margin of {_number(m)}",
            )
            if not found.intervals:
                why = "one value has no interval"
            elif found.mean >= m:
                why = "the mean is above the margin, but an interval holds 0"
        why = f"{said}; {why}"
        return Part(self.effect, self.words(), word, reason, why, self.unit, found, m, holds=(m, None))  # type: ignore[arg-type]

    def words(self) -> str:
        return f"{self.effect}: at least {_number(self.margin)}{_unit(self.unit)}, and its intervals above 0"


@dataclass(frozen=True)
class Same(_OnEffect):
    """At most a margin worse: the effect is the loss of quality, positive where it is worse."""

    margin: float
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise HeadstartError(
                f"the rule on {self.effect!r} needs a margin above 0: what difference is none?"
            )

    def part(self, values: list[Value]) -> Part:
        found = estimate(values)
        said = _said(self.effect, found, self.unit)
        m = self.margin
        if found.below(m):
            word, reason, why = "supported", "", f"all of it is less than {_number(m)} worse"
        elif found.above(m):
            word, reason, why = "contradicted", "", f"all of it is more than {_number(m)} worse"
        else:
            word, reason, why = "not-supported", "too noisy", f"the interval holds the margin of {_number(m)}"
        why = f"{said}; {why}"
        return Part(self.effect, self.words(), word, reason, why, self.unit, found, m, holds=(None, m))  # type: ignore[arg-type]

    def words(self) -> str:
        return f"{self.effect}: with its intervals less than {_number(self.margin)}{_unit(self.unit)}"


@dataclass(frozen=True)
class Trend(_OnEffect):
    """The slope over levels, one value a level in each seed, is at least a margin a step of `over`."""

    margin: float
    over: tuple[float, ...]
    unit: str = ""

    def part(self, values: list[Value]) -> Part:
        slopes = [float(np.polyfit(self.over, np.asarray(one, float), 1)[0]) for one in values]
        judged = Gain(f"rise of {self.effect}", self.margin, self.unit)._judged(estimate(slopes))
        return replace(judged, rule=self.words())

    def words(self) -> str:
        return (
            f"{self.effect}: rises by at least {_number(self.margin)}{_unit(self.unit)} a step, over "
            f"{len(self.over)} levels from {_number(self.over[0])} to {_number(self.over[-1])}"
        )


@dataclass(frozen=True)
class Within(_OnEffect):
    """The interval lies between two bounds; one value without units is a count, and has none."""

    low: float
    high: float
    unit: str = ""

    def part(self, values: list[Value]) -> Part:
        found = estimate(values)
        low, high = found.outer
        said = _said(self.effect, found, self.unit)
        bounds = f"{_number(self.low)} to {_number(self.high)}"
        if self.low <= low and high <= self.high:
            word, reason, why = "supported", "", f"inside {bounds}"
        elif high < self.low or low > self.high:
            word, reason, why = "contradicted", "", f"outside {bounds}"
        else:
            word, reason, why = "not-supported", "too noisy", f"the interval reaches over an end of {bounds}"
        middle, half = self._middle()
        ends = tuple(None if math.isinf(end) else end for end in (self.low, self.high))
        why = f"{said}; {why}"
        return Part(self.effect, self.words(), word, reason, why, self.unit, found, half, middle, ends)  # type: ignore[arg-type]

    def _middle(self) -> tuple[float, float]:
        """Middle and half width of the bounds; of half-open ones the finite end, and its size."""
        if math.isinf(self.high) or math.isinf(self.low):
            end = self.low if math.isinf(self.high) else self.high
            return end, abs(end) or 1.0
        return (self.low + self.high) / 2, (self.high - self.low) / 2

    def words(self) -> str:
        return f"{self.effect}: between {_number(self.low)} and {_number(self.high)}{_unit(self.unit)}"


@dataclass(frozen=True)
class Beyond(Rule):
    """A part that cannot be run here, with the scale at which the literature saw it."""

    what: str
    scale: str

    def effects(self) -> list[str]:
        return []

    def parts(self, evidence: Evidence, own_data: bool) -> list[Part]:
        because = f"{self.what}: not measured; {self.scale}"
        return [Part(self.what, self.words(), "not-supported", "beyond this scale", because, "")]

    def words(self) -> str:
        return f"{self.what}: not measured here; {self.scale}"


@dataclass(frozen=True)
class OnOwnData(Rule):
    """A part that the repository's samples cannot decide: judged on text given with --data alone."""

    rule: Rule
    scale: str

    def effects(self) -> list[str]:
        return self.rule.effects()

    def parts(self, evidence: Evidence, own_data: bool) -> list[Part]:
        found = self.rule.parts(evidence, own_data)
        if own_data:
            return found
        return [
            replace(
                part,
                verdict="not-supported",
                reason="beyond this scale",
                because=f"{part.because}; {self.scale}",
            )
            for part in found
        ]

    def words(self) -> str:
        return f"{self.rule.words()} (on text given with --data alone: {self.scale})"


@dataclass(frozen=True)
class _Several(Rule):
    rules: tuple[Rule, ...]

    def effects(self) -> list[str]:
        return [effect for rule in self.rules for effect in rule.effects()]

    def parts(self, evidence: Evidence, own_data: bool) -> list[Part]:
        return [part for rule in self.rules for part in rule.parts(evidence, own_data)]

    def _in_part(self, parts: list[Part]) -> Verdict:
        good = [part.effect for part in parts if part.verdict == "supported"]
        others = [part for part in parts if part.verdict != "supported"]
        reasons = dict.fromkeys(part.reason for part in others if part.reason)
        reason = "in part" if good else (next(iter(reasons)) if len(reasons) == 1 else "in part")
        because = "; ".join(part.because for part in others)
        if good:
            because = f"{len(good)} of {len(parts)} parts hold ({', '.join(good)}); not so {because}"
        return Verdict("not-supported", reason, because, tuple(parts))


class Every(_Several):
    """All parts have to hold; one that is contradicted contradicts the claim."""

    def __init__(self, *rules: Rule) -> None:
        super().__init__(rules)

    def judge(self, evidence: Evidence, own_data: bool = False) -> Verdict:
        parts = self.parts(evidence, own_data)
        wrong = [part.because for part in parts if part.verdict == "contradicted"]
        if wrong:
            return Verdict("contradicted", "", "; ".join(wrong), tuple(parts))
        if all(part.verdict == "supported" for part in parts):
            because = "; ".join(part.because for part in parts)
            if len(parts) > FEW:
                because = f"all {len(parts)} parts hold: {', '.join(part.effect for part in parts)}"
            return Verdict("supported", "", because, tuple(parts))
        return self._in_part(parts)

    def words(self) -> str:
        return "every part: " + "; ".join(rule.words() for rule in self.rules)


class Most(_Several):
    """More than half of the parts have to hold, or be contradicted."""

    def __init__(self, *rules: Rule) -> None:
        super().__init__(rules)

    def judge(self, evidence: Evidence, own_data: bool = False) -> Verdict:
        parts = self.parts(evidence, own_data)
        words: tuple[Word, ...] = ("supported", "contradicted")
        for word in words:
            alike = [part for part in parts if part.verdict == word]
            if 2 * len(alike) > len(parts):
                because = f"{len(alike)} of {len(parts)} parts: {'; '.join(part.because for part in alike)}"
                return Verdict(word, "", because, tuple(parts))
        return self._in_part(parts)

    def words(self) -> str:
        return "most parts: " + "; ".join(rule.words() for rule in self.rules)


def _said(effect: str, found: Estimate, unit: str) -> str:
    """`a - b is 0.12 nats (95 %: 0.10 to 0.14, n = 5)`."""
    text = f"{effect} is {_number(found.mean)}{_unit(unit)}"
    if found.intervals:
        low, high = found.outer
        text += f" (95 %: {_number(low)} to {_number(high)}, n = {found.seeds}"
        text += f" seeds, {found.units} units)" if found.units else ")"
    return text


def _number(value: float) -> str:
    if math.isinf(value):
        return "no end" if value > 0 else "minus no end"
    if value and (abs(value) < 1e-3 or abs(value) >= 1e15):
        return f"{value:.2g}".replace("-", "−")
    if abs(value) >= 10_000 and value == int(value):
        return f"{int(value):,}".replace("-", "−")
    text = significant(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""

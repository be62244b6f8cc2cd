"""Rules as data: `signal op threshold`, evaluated over whole columns of signals."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from headstart.corpus.signals import SIGNALS
from headstart.errors import nearest

OPERATORS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_RULE = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*")


@dataclass(frozen=True)
class Rule:
    """Removes the documents whose signal stands in relation `op` to the threshold."""

    signal: str
    op: str
    threshold: float

    def removes(self, signals: Mapping[str, np.ndarray]) -> np.ndarray:
        """One boolean a document. A signal that is not defined for a document (NaN) never removes it."""
        return OPERATORS[self.op](signals[self.signal], self.threshold)

    def detail(self, value: float) -> str:
        """Why one document went: its value against the threshold."""
        return f"{self.signal} = {value:.4g} {self.op} {self.threshold:g}"


def parse_rule(text: str) -> Rule:
    """Read `signal op threshold`.

    Raises:
        ValueError: it is not of that form, or there is no such signal.
    """
    match = _RULE.fullmatch(text)
    if not match:
        raise ValueError(f"the rule {text!r} is not of the form `signal op threshold`, as in `words < 50`")
    signal, op, threshold = match.groups()
    if signal not in SIGNALS:
        raise ValueError(f"there is no signal {signal!r}{nearest(signal, SIGNALS)}")
    return Rule(signal, op, float(threshold))


def parse_rules(rules: Mapping[str, str | None]) -> dict[str, Rule]:
    """The rules that are switched on, by name, in order."""
    return {name: parse_rule(rule) for name, rule in rules.items() if rule is not None}

"""What the report of a quality model's training holds."""

from typing import TypedDict


class LabelledCounts(TypedDict):
    """Texts of one part, by label."""

    good: int
    bad: int


class Calibrated(TypedDict):
    """Texts of about one score: how many, their mean score, and the mean target with its standard error."""

    n: int
    score: float
    target: float
    standard_error: float


class AtThreshold(TypedDict):
    """How well a threshold tells good texts from bad ones."""

    precision: float
    recall: float
    f1: float
    kept: float


class CurvePoint(TypedDict):
    """Precision and recall of what scores `threshold` or more."""

    threshold: float
    precision: float
    recall: float


class QualityScores(AtThreshold):
    """How well scores tell good texts from bad ones, and how far they are probabilities."""

    n: int
    f1_95: list[float]
    area_under_roc: float
    average_precision: float
    brier: float
    calibration_error: float
    calibration: list[Calibrated]
    scores: dict[str, list[int]]
    """`good` and `bad` -> counts over equal steps of the score."""
    precision_recall: list[CurvePoint]


class WrongText(TypedDict):
    """A text on the wrong side of the threshold."""

    score: float
    target: float
    text: str


class QualityTest(QualityScores):
    """The test part."""

    errors: dict[str, list[WrongText]]
    """`kept_bad` and `lost_good` -> those that are furthest on the wrong side."""


class QualityReport(TypedDict):
    """Everything that was found while a quality model was trained."""

    headstart: str
    examples: dict[str, LabelledCounts]
    """Of the parts `train`, `calibrate` and `test`."""
    penalty: float
    calibration_loss: dict[str, float]
    """Penalty -> loss on the calibration part."""
    threshold_rule: str
    threshold: float
    test: QualityTest

"""Whether a step's loss and gradient are what the last ones led one to expect."""

import math
from dataclasses import dataclass, field

# A step before this many is never out of the ordinary, unless it is no number.
SEEN = 20
# Weight of the newest step in mean and variance: they look back over about fifty.
NEWEST = 0.04
# The least that a standard deviation is taken for: of the loss as a share of it, of the logarithm of a norm.
# With these and 8 deviations none of 47,574 steps of 83 sound runs raises an alarm.
LEAST_LOSS, LEAST_NORM = 0.01, 0.25
# So many numbers out of the ordinary in a row are what is ordinary now, as after a change of the mixture.
NEW_LEVEL = 5
# About the largest number of float32.
LARGEST = 3e38


@dataclass
class Running:
    """Mean and variance of a series, the newest weighted most; a few numbers, whatever its length."""

    mean: float = 0.0
    variance: float = 0.0
    count: int = 0

    def deviations(self, value: float, least: float) -> float:
        """How many standard deviations a value is above the mean; these are taken for at least `least`."""
        return (value - self.mean) / max(math.sqrt(self.variance), least)

    def add(self, value: float) -> None:
        self.count += 1
        weight = max(NEWEST, 1.0 / self.count)
        distance = value - self.mean
        self.mean += weight * distance
        self.variance = (1.0 - weight) * (self.variance + weight * distance * distance)


@dataclass
class SpikeDetector:
    """Judges every step before it moves the weights.

    A gradient's norm is judged by its logarithm, for norms lie apart by factors. A step out of the ordinary
    does not change what is ordinary, unless so many come in a row that this is how things are now.
    """

    limit: float = 8.0
    """Standard deviations above the mean."""
    loss: Running = field(default_factory=Running)
    norm: Running = field(default_factory=Running)
    in_a_row: int = 0
    """Steps out of the ordinary, up to now."""

    def judge(self, loss: float, norm: float) -> str | None:
        """What is out of the ordinary with a step, in words; None: nothing."""
        return self._record(loss, norm, self._why(loss, norm))

    def judged(self, loss: float, norm: float, left_out: bool, again: bool) -> str | None:
        """What is out of the ordinary with a step that a device has judged by `limits`.

        Args:
            left_out: the device's verdict.
            again: whether the step is judged here as well; the device heeds `limits` for skipping alone.
        """
        why = self._why(loss, norm) if again or left_out else None
        if left_out and why is None:
            why = f"loss {loss:.3f}, gradient norm {norm:.3g}: above what was ordinary some steps ago"
        return self._record(loss, norm, why)

    def _record(self, loss: float, norm: float, why: str | None) -> str | None:
        """Take note of a verdict; the verdict, unless this is a new level."""
        if why is not None and math.isfinite(loss + norm) and self.in_a_row >= NEW_LEVEL:
            self.loss, self.norm, why = Running(), Running(), None
        self.in_a_row = self.in_a_row + 1 if why else 0
        if why is None:
            self.loss.add(loss)
            self.norm.add(math.log(max(norm, 1e-30)))
        return why

    def limits(self) -> tuple[float, float]:
        """The largest loss and gradient norm that are ordinary by what was seen so far; both are numbers."""
        if self.loss.count < SEEN:
            return LARGEST, LARGEST
        loss = self.loss.mean + self.limit * max(
            math.sqrt(self.loss.variance), LEAST_LOSS * abs(self.loss.mean)
        )
        norm = self.norm.mean + self.limit * max(math.sqrt(self.norm.variance), LEAST_NORM)
        return min(loss, LARGEST), math.exp(min(norm, math.log(LARGEST)))

    def _why(self, loss: float, norm: float) -> str | None:
        if not math.isfinite(loss) or not math.isfinite(norm):
            return f"loss {loss}, gradient norm {norm}: no numbers"
        if self.loss.count < SEEN:
            return None
        apart = self.loss.deviations(loss, LEAST_LOSS * abs(self.loss.mean))
        if apart > self.limit:
            return f"loss {loss:.3f}: {apart:.0f} standard deviations above {self.loss.mean:.3f}"
        apart = self.norm.deviations(math.log(max(norm, 1e-30)), LEAST_NORM)
        if apart > self.limit:
            usual = math.exp(self.norm.mean)
            return f"gradient norm {norm:.3g}: {apart:.0f} standard deviations above {usual:.3g}"
        return None

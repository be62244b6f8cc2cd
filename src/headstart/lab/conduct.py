"""How experiments are run: register all, make the runs that are missing, measure, judge, write the result.

Killed at any moment it goes on: a run is taken up by its own stage, a measure is a file of its own, and a
verdict is computed from measures.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.errors import HeadstartError
from headstart.folder import fingerprint, read_json, write_json
from headstart.lab.bench import Bench
from headstart.lab.claim import Experiment, Figure
from headstart.lab.registration import FILE, Intent, Registration, Registrations, rule_hash
from headstart.lab.result import Result, claim_fields, figure_fields, verdict_fields, write_result
from headstart.lab.rules import Evidence, Verdict
from headstart.lab.runs import RunCache, RunSpec, core_seconds, files_identity
from headstart.lab.workshop import make_runs, make_runs_on_ray
from headstart.progress import stage

RUNS, MEASURES = "runs", "measures"


class Measured(TypedDict):
    """A file of `measures/`: the numbers of one seed, of one arm where there are arms."""

    begun: str
    seconds: float
    core_seconds: float
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Laboratory:
    """A folder of registrations, runs, measures and results."""

    folder: Path
    level: str
    files: tuple[Path, ...]
    own_data: bool
    given: Path | None = None
    seeds: int | None = None
    """Instead of the level's."""

    def __post_init__(self) -> None:
        held = [one for one in self.folder.glob("*") if not one.name.startswith(".")]
        if held and not (self.folder / FILE).exists():
            raise HeadstartError(
                f"{self.folder} holds other files; choose an empty or a new folder with --lab"
            )

    @property
    def cache(self) -> RunCache:
        return RunCache(self.folder / RUNS)

    @property
    def registrations(self) -> Registrations:
        return Registrations(self.folder)

    def seeds_of(self, experiment: Experiment) -> int:
        return self.seeds or experiment.level(self.level).seeds

    def bench(self, experiment: Experiment, seed: int = 0) -> Bench:
        """Where a seed of an experiment is measured."""
        level = experiment.level(self.level)
        return Bench(level, self.files, self.cache, self.own_data, self.given, seed)

    def benches(self, experiment: Experiment) -> Iterator[Bench]:
        """One for each seed, and for each arm where there are arms."""
        for seed in range(self.seeds_of(experiment)):
            bench = self.bench(experiment, seed)
            if experiment.arms is None:
                yield bench
            else:
                for arm, spec in experiment.arms(bench).items():
                    yield replace(bench, arm=arm, spec=spec)

    def specs(self, experiment: Experiment) -> list[RunSpec]:
        """The runs that an experiment compares."""
        if experiment.arms is None:
            return []
        return [bench.spec for bench in self.benches(experiment) if bench.spec is not None]

    # Before

    def register(self, chosen: Sequence[Experiment], others: Sequence[Experiment], why: str) -> None:
        """Register what is to be run, and whatever else has no registration yet: rules are then older than
        runs that claims share."""
        self.registrations.add([intent for one in others if (intent := self._early_intent(one)) is not None])
        self.registrations.add([self.intent(one) for one in chosen], why)

    def _early_intent(self, experiment: Experiment) -> Intent | None:
        """The intent of an experiment that nobody asked for; None where it is registered, has runs, or cannot
        be made from this text."""
        if self.registrations.of(experiment.id, self.level):
            return None
        try:
            return None if self._has_runs(experiment) else self.intent(experiment)
        except HeadstartError:
            return None

    def intent(self, experiment: Experiment) -> Intent:
        """What a registration says."""
        runs: dict[str, list[str]] = {}
        for bench in self.benches(experiment):
            if bench.spec is not None:
                runs.setdefault(bench.arm, []).append(bench.spec.id)
        text = [files_identity(path) for path in self.files]
        plan = {"seeds": self.seeds_of(experiment), "text": text, "runs": runs}
        rule = rule_hash(experiment, self.level)
        return Intent(experiment.id, self.level, rule, plan, self._has_runs(experiment))

    def _has_runs(self, experiment: Experiment) -> bool:
        return any(self.cache.facts(spec) is not None for spec in self.specs(experiment))

    def missing_or_made(self, experiment: Experiment) -> list[RunSpec]:
        """All runs that an experiment stands on."""
        return list(dict.fromkeys(one for spec in self.specs(experiment) for one in spec.all()))

    def missing_runs(self, chosen: Sequence[Experiment]) -> list[RunSpec]:
        """The runs that have to be made, in an order in which they can be."""
        return self.cache.missing(spec for one in chosen for spec in self.specs(one))

    # During

    def measure(self, experiment: Experiment) -> tuple[Evidence, list[Measured]]:
        """What was measured of every seed and arm; only what is not there is measured."""
        evidence: dict[str, list[Any]] = {}
        found = []
        for bench in self.benches(experiment):
            measured = self._measured(experiment, bench)
            found.append(measured)
            for name, value in measured["numbers"].items():
                evidence.setdefault(f"{bench.arm}.{name}" if bench.arm else name, []).append(value)
        if experiment.together is not None:
            whole = experiment.together(evidence)
            evidence |= {name: [_plain(value) for value in values] for name, values in whole.items()}
        return evidence, found

    def _measured(self, experiment: Experiment, bench: Bench) -> Measured:
        made_of = bench.spec.id if bench.spec is not None else [files_identity(path) for path in self.files]
        given = [] if self.given is None else [files_identity(self.given)]
        name = fingerprint([rule_hash(experiment, self.level), bench.seed, bench.arm, made_of, given])
        file = self.folder / MEASURES / f"{experiment.id}-{name}.json"
        if file.exists():
            return read_json(file, Measured)
        begun = datetime.now(UTC).isoformat(timespec="microseconds")
        started, cores = time.monotonic(), core_seconds()
        numbers = {key: _plain(value) for key, value in experiment.measure(bench).items()}
        measured: Measured = {
            "begun": begun,
            "seconds": round(time.monotonic() - started, 2),
            "core_seconds": round(core_seconds() - cores, 2),
            "numbers": numbers,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, measured)
        return measured

    # After

    def judge(self, experiment: Experiment, evidence: Evidence, measured: Sequence[Measured]) -> Result:
        """The result: the verdict of the registered rule.

        Raises:
            HeadstartError: the rule is younger than what it judges, and nobody said why.
        """
        rule = rule_hash(experiment, self.level)
        first = self.registrations.first(experiment.id, self.level, rule)
        latest = [e for e in self.registrations.of(experiment.id, self.level) if e["rule"] == rule][-1:]
        if first is None or not latest:
            raise HeadstartError(
                f"{experiment.id} was measured, and its rule was never registered; run it again"
            )
        specs = self.specs(experiment)
        begun = [one["begun"] for one in measured]
        begun += [facts["begun"] for spec in specs if (facts := self.cache.facts(spec)) is not None]
        refuse_younger(experiment.id, first, min(begun))
        verdict = experiment.rule.judge(evidence, self.own_data)
        return self._result(experiment, evidence, measured, verdict, first, latest[0])

    def _result(
        self,
        experiment: Experiment,
        evidence: Evidence,
        measured: Sequence[Measured],
        verdict: Verdict,
        first: Registration,
        latest: Registration,
    ) -> Result:
        from headstart.training.machine import package_versions, processor, source_commit

        specs = dict.fromkeys(one for spec in self.specs(experiment) for one in spec.all())
        facts = [found for spec in specs if (found := self.cache.facts(spec)) is not None]
        figures = experiment.picture(evidence) if experiment.picture is not None else seeds_table(evidence)
        return {
            "format": "headstart.lab-result",
            "version": 1,
            "claim": claim_fields(experiment),
            "rule": experiment.rule.words(),
            "level": self.level,
            "seeds": self.seeds_of(experiment),
            "registration": latest["hash"],
            "registered": first["time"],
            "rule_hash": first["rule"],
            "after_the_fact": first["why"],
            **verdict_fields(verdict),  # type: ignore[typeddict-item]
            "evidence": {name: list(values) for name, values in evidence.items()},
            "runs": latest["plan"]["runs"],
            "figures": figure_fields(figures),
            "data": self._data(),
            "command": self._command(experiment),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(sum(one["seconds"] for one in measured), 1),
            "core_seconds": round(sum(one["core_seconds"] for one in measured), 1),
            "shared_core_seconds": round(sum(one["core_seconds"] for one in facts), 1),
            "machine": processor(),
            "versions": package_versions(),
            "commit": source_commit(),
        }

    def _data(self) -> dict[str, Any]:
        names = [path.name for path in self.files]
        return {
            "text": "your text" if self.own_data else "the repository's samples",
            "files": names,
            "hashes": [files_identity(path) for path in self.files],
        }

    def _command(self, experiment: Experiment) -> str:
        name = experiment.file.name if experiment.own else experiment.id
        words = ["headstart lab run", name, f"--{self.level}"]
        words += [f"--seeds {self.seeds}"] if self.seeds else []
        words += [f"--data {self.given}"] if self.given else []
        return " ".join(words)


def refuse_younger(claim: str, registration: Registration, begun: str) -> None:
    """Refuse a verdict by a rule that is younger than what it judges, unless the registration says why.

    Args:
        begun: when the oldest of its runs and measures was begun.

    Raises:
        HeadstartError: it is younger.
    """
    if registration["time"] > begun and not registration["why"]:
        raise HeadstartError(
            f"the rule of {claim} was registered at {registration['time']}, after the first of its runs was "
            f"begun "
            f"({begun}): no verdict by a rule that is younger than its run; say why it is: --why 'REASON'"
        )


def conduct(
    laboratory: Laboratory,
    chosen: Sequence[Experiment],
    known: Sequence[Experiment],
    why: str = "",
    workers: int = 1,
    engine: str = "local",
) -> list[Result]:
    """Run experiments from registration to result; what is there is not made again.

    Args:
        known: all experiments of the laboratory, which are registered too if they never were.
        workers: processes that make runs at once.
        engine: local, or ray: a cluster whose machines share the laboratory's folder makes the runs.

    Raises:
        HeadstartError: see `Laboratory.register` and `Laboratory.judge`.
    """
    laboratory.register(chosen, known, why)
    missing = laboratory.missing_runs(chosen)
    if engine == "ray":
        make_runs_on_ray(laboratory.cache, missing)
    else:
        make_runs(laboratory.cache, missing, workers)
    results = []
    for experiment in sorted(chosen, key=lambda one: one.level(laboratory.level).exclusive):
        with stage(f"{experiment.id}  {experiment.claim.title}"):
            evidence, measured = laboratory.measure(experiment)
            result = laboratory.judge(experiment, evidence, measured)
            write_result(laboratory.folder, result)
            results.append(result)
    return results


def seeds_table(evidence: Evidence) -> list[Figure]:
    """What every seed measured: the picture of an experiment that has none of its own."""
    rows = [
        [name, str(len(values)), ", ".join(_shown(value) for value in values[:8])]
        for name, values in evidence.items()
    ]
    return [Figure("table", "Measured, seed by seed", columns=("", "n", "values"), rows=rows)]


def _shown(value: Any) -> str:
    value = list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, list):
        return f"mean {sum(value) / max(len(value), 1):.4g} of {len(value)}"
    return f"{value:.5g}"


def _plain(value: Any) -> Any:
    """A measured value as JSON has it."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(unit): float(one) for unit, one in value.items()}
    return [float(one) for one in value] if isinstance(value, list | tuple) else float(value)

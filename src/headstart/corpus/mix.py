"""Mixing: how much of each domain (or language) the corpus holds, and in which order its documents stand.

Both follow from one random number a document, drawn from the seed and the document's number, so that no step
needs to know of other documents than its own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from headstart.corpus.great_losses import way_on
from headstart.corpus.outcomes import outcome
from headstart.corpus.recipe import Mix
from headstart.corpus.removals import Removal, removals, removed_by
from headstart.corpus.text.hashing import draws
from headstart.corpus.work import Made, Work, load, save, step
from headstart.corpus_folder import MixRow, PlannedMix
from headstart.errors import HeadstartError, nearest

MIX = "mix"
# Documents are drawn by bins of their random number: shares are met to a document, or 1/BINS of a domain.
BINS = 1 << 16
CHOICE, ORDER = 0, 16

HISTOGRAM = np.dtype([("group", "U64"), ("bin", np.int32), ("bytes", np.int64)])


def bins(documents: np.ndarray, seed: int) -> np.ndarray:
    """The bin from which each document is drawn."""
    return (draws(documents, seed, CHOICE) >> np.uint64(48)).astype(np.int64)


def histogram(groups: np.ndarray, sizes: np.ndarray, documents: np.ndarray, seed: int) -> np.ndarray:
    """Bytes by group and bin, as `HISTOGRAM`; bins that hold nothing are left out."""
    rows = np.zeros(len(groups), HISTOGRAM)
    rows["group"], rows["bin"], rows["bytes"] = groups, bins(documents, seed), sizes
    return sum_histograms([rows])


def sum_histograms(histograms: Iterable[np.ndarray]) -> np.ndarray:
    """Several histograms as one, ordered by group and bin."""
    rows = np.concatenate([np.zeros(0, HISTOGRAM), *histograms])
    keys, place = np.unique(rows[["group", "bin"]], return_inverse=True)
    total = np.zeros(len(keys), HISTOGRAM)
    total["group"], total["bin"] = keys["group"], keys["bin"]
    np.add.at(total["bytes"], place, rows["bytes"])
    return total


@dataclass(frozen=True)
class Amount:
    """How often the documents of a group occur: `rounds` times, and those below bin `more` once more."""

    rounds: int
    more: int


def plan_amounts(available: np.ndarray, mix: Mix) -> tuple[dict[str, Amount], dict[str, PlannedMix]]:
    """How much of each group the corpus takes, and the plan in bytes and tokens.

    Without shares every document occurs once. With shares, the total is the budget, or else what the named
    groups hold. A group gets its share of it, but at most `max_repeats` times what it holds; what a group
    cannot give goes to the others by their shares, or ends the run, as the recipe says. Whole rounds come
    first; the last one takes documents in an order drawn from the seed until the target is reached. A
    temperature makes shares of what there is: `bytes ** temperature` (Conneau et al. 2020, section 3.1).

    Raises:
        HeadstartError: a share is set for a group that no document has, or there is less than was asked for
            and the recipe says `short: refuse`.
    """
    held = {
        str(name): int(available["bytes"][available["group"] == name].sum())
        for name in np.unique(available["group"])
    }
    if not mix.shares and mix.budget is None and mix.temperature is None:
        return {}, {}
    exponent = 1.0 if mix.temperature is None else mix.temperature
    shares: dict[str, float] = dict(mix.shares) or {
        name: float(size) ** exponent for name, size in held.items()
    }
    _check_names(shares, held, mix)
    total = float(mix.budget or sum(held.get(name, 0) for name in shares))
    wanted = {name: total * share / sum(shares.values()) for name, share in shares.items()}
    most = {name: mix.max_repeats * held.get(name, 0) for name in shares}
    if mix.short == "refuse" and (short := [name for name in sorted(shares) if wanted[name] > most[name]]):
        lacking = "; ".join(
            f"{name} is to give {wanted[name]:,.0f} bytes and has {held.get(name, 0):,}" for name in short
        )
        raise HeadstartError(
            f"the mix cannot be had with mix.max_repeats={mix.max_repeats:g}: {lacking}; lower the share or "
            "the budget, or set mix.short=rebalance"
        )
    targets = rebalanced(shares, most, total)
    amounts: dict[str, Amount] = {name: Amount(0, 0) for name in held}
    plan: dict[str, PlannedMix] = {}
    for name in sorted(shares):
        has = held.get(name, 0)
        rounds = int(targets[name] // max(has, 1))
        rows = available[available["group"] == name]
        rest = targets[name] - rounds * has
        before = np.cumsum(rows["bytes"]) - rows["bytes"]
        taken = rows[before < rest]
        amounts[name] = Amount(rounds, int(taken["bin"][-1]) + 1 if len(taken) else 0)
        chosen = rounds * has + int(taken["bytes"].sum())
        plan[name] = {
            "share": round(shares[name] / sum(shares.values()), 6),
            "available": has,
            "wanted": round(wanted[name]),
            "chosen": chosen,
            "repeats": round(chosen / max(has, 1), 3),
            "tokens_available": round(has / mix.bytes_per_token),
            "tokens_chosen": round(chosen / mix.bytes_per_token),
        }
    return amounts, plan


def _check_names(shares: dict[str, float], held: dict[str, int], mix: Mix) -> None:
    """A name that no document has is a mistake if it is like one that some have; else the group is empty."""
    for name in shares:
        alike = "did you mean" in nearest(name, held)
        if name not in held and (mix.short == "refuse" or alike or not held.keys() & shares):
            raise HeadstartError(f"mix.shares: no document has the {mix.by} {name!r}{nearest(name, held)}")


def rebalanced(shares: dict[str, float], most: dict[str, float], total: float) -> dict[str, float]:
    """The total dealt out by shares, no group above its most: what one cannot give the others do.

    `web/src/arithmetic/mix.ts` is held to this.
    """
    targets: dict[str, float] = {}
    left = dict(shares)
    while left:
        per_share = max(total - sum(targets.values()), 0.0) / sum(left.values())
        full = [name for name in left if left[name] * per_share >= most[name]]
        if not full:
            return targets | {name: share * per_share for name, share in left.items()}
        for name in full:
            targets[name] = most[name]
            del left[name]
    return targets


def check_plan(plan: dict[str, PlannedMix], result: dict[str, int]) -> dict[str, MixRow]:
    """The plan with what the corpus holds of each group, in bytes and as a share of all.

    Raises:
        HeadstartError: it is not what was planned.
    """
    total = max(sum(result.values()), 1)
    wrong = [
        name
        for name in {*plan, *result}
        if result.get(name, 0) != (plan[name]["chosen"] if name in plan else 0)
    ]
    if wrong:
        raise HeadstartError(
            f"the corpus does not hold what the mix planned of {', '.join(sorted(wrong))}; the disk may be "
            "faulty: start again"
        )
    return {
        name: {**row, "result": result.get(name, 0), "result_share": round(result.get(name, 0) / total, 6)}
        for name, row in plan.items()
    }


def copies(groups: np.ndarray, documents: np.ndarray, amounts: dict[str, Amount], seed: int) -> np.ndarray:
    """How often each document occurs; without amounts, once."""
    if not amounts:
        return np.ones(len(documents), np.int64)
    bin_of = bins(documents, seed)
    count = np.zeros(len(documents), np.int64)
    for name, amount in amounts.items():
        members = groups == name
        count[members] = amount.rounds + (bin_of[members] < amount.more)
    return count


def order(documents: np.ndarray, copy: np.ndarray, seed: int) -> np.ndarray:
    """The number by which copies of documents are sorted: uniform in 0 to 2^64."""
    keys = np.zeros(len(documents), np.uint64)
    for which in np.unique(copy):
        keys[copy == which] = draws(documents[copy == which], seed, ORDER + int(which))
    return keys


# The stage


@step("histogram")
def count_group_bytes(work: Work, task: int) -> Made:
    """What the mix draws from in a task."""
    found = outcome(work, task, before=MIX)
    stays = found.stage == 0
    return histogram(
        _groups(work, task)[stays], found.bytes[stays], work.numbers(task)[stays], work.recipe.seed
    )


def choose_amounts(work: Work) -> None:
    """Decide how much of each group the corpus takes, and into how many parts it goes.

    Raises:
        HeadstartError: no document is left, or the mix cannot be had.
    """
    available = sum_histograms(load(path) for path in work.files("histogram"))
    if not len(available):
        raise HeadstartError(_greatest_loss(work))
    amounts, plan = plan_amounts(available, work.recipe.mix)
    chosen = sum(one["chosen"] for one in plan.values()) if plan else int(available["bytes"].sum())
    work.note("amounts", {name: asdict(amount) for name, amount in amounts.items()})
    work.note("mix", plan)
    work.note("parts", max(1, -(-chosen // work.recipe.shard_bytes)))


def _greatest_loss(work: Work) -> str:
    """The sentence that names what removed most, where nothing is left."""
    lost: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)  # by stage and rule, then by language
    for task in range(work.tasks):
        gone = outcome(work, task, before=MIX).removed
        languages = work.columns(task, "language")["language"].take(gone["place"]).to_pylist()
        stages, rules = gone["stage"].to_pylist(), gone["rule"].to_pylist()
        for stage, rule, language in zip(stages, rules, languages, strict=True):
            lost[stage, rule][language] += 1
    by_stage = {
        stage: sum(lost[stage, rule].total() for rule in rules) for stage, rules in work.stages.items()
    }
    stage = max(by_stage, key=by_stage.__getitem__)
    rule = max(work.stages[stage], key=lambda rule: lost[stage, rule].total())
    return (
        f"no document is left: the stage {stage!r} removed {by_stage[stage]:,}, most by {rule}"
        f"{way_on(rule, lost[stage, rule], work.recipe) or '; relax it in the recipe'}"
    )


@step(removed_by(MIX), "parquet")
def draw_copies(work: Work, task: int) -> Made:
    """Note how often each document of a task occurs in the corpus; those that do not occur go."""
    amounts = {name: Amount(**amount) for name, amount in work.noted("amounts").items()}
    groups, recipe = _groups(work, task), work.recipe
    count = copies(groups, work.numbers(task), amounts, recipe.seed)
    stays = outcome(work, task, before=MIX).stage == 0
    save(work.path("drawn", task), np.where(stays, count, 0))
    return removals(
        Removal(place, "over_share", f"{recipe.mix.by} {groups[place]} is over its share")
        for place in np.flatnonzero(stays & (count == 0)).tolist()
    )


def _groups(work: Work, task: int) -> np.ndarray:
    """The domain or language of each document of a task."""
    return work.columns(task, work.recipe.mix.by).column(0).to_numpy(zero_copy_only=False).astype(str)

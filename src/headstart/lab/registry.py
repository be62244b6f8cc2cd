"""The claims, by chapter, and claims of one's own."""

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from headstart.errors import HeadstartError, nearest
from headstart.lab.claim import CHAPTERS, Claim, Experiment, Level
from headstart.lab.rules import Rule

TEMPLATE = Path(__file__).with_name("template.py")
"""What `lab new` writes: an experiment that runs as it is."""
CLAIMS: tuple[str, ...] = (
    "why.c01_few_labels",
    "why.c02_economy",
    "context.c03_senses",
    "context.c04_layers",
    "context.c05_whole_model",
    "context.c06_similarity",
    "bert.c07_masks",
    "bert.c08_both_sides",
    "bert.c09_next_sentence",
    "bert.c10_sizes",
    "bert.c11_heads",
    "gpt.c12_chain_rule",
    "gpt.c13_no_future",
    "gpt.c14_temperature",
    "gpt.c15_sizes",
    "gpt.c16_examples",
    "choose.c17_encoder",
    "choose.c18_targets",
    "choose.c19_as_text",
    "data.c20_funnel",
    "data.c21_memorised",
    "data.c22_cleaned",
    "data.c23_mixture",
    "scaling.c24_power_laws",
    "scaling.c25_ten_times",
    "scaling.c26_six_n_d",
    "scaling.c27_twenty_tokens",
    "scaling.c28_inference",
    "scaling.c29_emergence",
    "training.c30_vocabulary",
    "training.c31_first_loss",
    "training.c32_backward",
    "training.c33_memory",
    "training.c34_warm_up",
    "llama.c35_norms",
    "llama.c36_swiglu",
    "llama.c37_rotary",
    "llama.c38_grouped",
    "llama.c39_sizes",
    "llama.c40_tables",
)
"""Modules of `headstart.lab.claims`, in the order of their ids."""


def experiments() -> list[Experiment]:
    """All that headstart knows."""
    return [experiment_of(importlib.import_module(f"headstart.lab.claims.{name}")) for name in CLAIMS]


def chosen(names: Sequence[str]) -> list[Experiment]:
    """Those named by id, or by the path of a file with a claim of one's own; without names, all.

    Raises:
        HeadstartError: no such claim or file.
    """
    known = {experiment.id: experiment for experiment in experiments()}
    found = []
    for name in names or known:
        if name.endswith(".py"):
            found.append(own_experiment(Path(name)))
        elif name.upper() in known:
            found.append(known[name.upper()])
        else:
            raise HeadstartError(
                f"there is no claim {name!r}{nearest(name.upper(), known)} (a claim of your own: name its "
                f".py file)"
            )
    return found


def own_experiment(file: Path) -> Experiment:
    """The experiment in a user's file, which is run as the code that it is.

    Raises:
        HeadstartError: there is no such file, it cannot be imported, or it is no experiment.
    """
    if not file.is_file():
        raise HeadstartError(f"there is no file {file}; `headstart lab new {file}` writes a template")
    spec = importlib.util.spec_from_file_location(f"own_claim_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except HeadstartError:
        raise
    except Exception as error:
        raise HeadstartError(f"{file} cannot be read as Python ({type(error).__name__}: {error})") from error
    found = experiment_of(module, own=True)
    if found.id.upper() in {experiment.id for experiment in experiments()}:
        raise HeadstartError(f"{file}: the id {found.id} is taken; give the claim one of its own")
    if min(level.seeds for level in found.levels.values()) < 3:
        raise HeadstartError(
            f"{file}: LEVELS asks for fewer than 3 seeds, which show no spread; give 3 or more"
        )
    return found


def experiment_of(module: ModuleType, own: bool = False) -> Experiment:
    """What a module holds: CLAIM, LEVELS, RULE, `measure`, and maybe `arms`, `together` and `picture`.

    Raises:
        HeadstartError: one of them is missing, or something else.
    """
    file = Path(str(module.__file__))
    claim = _held(module, file, "CLAIM", Claim)
    levels, rule = _held(module, file, "LEVELS", dict), _held(module, file, "RULE", Rule)
    if not levels or not all(isinstance(level, Level) for level in levels.values()):
        raise HeadstartError(f"{file}: LEVELS has to name levels, as in {{'quick': Level(seeds=3)}}")
    if claim.chapter not in CHAPTERS:
        raise HeadstartError(
            f"{file}: there is no chapter {claim.chapter!r}{nearest(claim.chapter, CHAPTERS)}"
        )
    measure = getattr(module, "measure", None)
    if not callable(measure):
        raise HeadstartError(f"{file} has no function measure(bench), which gives the numbers of one seed")
    arms, together, picture = (getattr(module, name, None) for name in ("arms", "together", "picture"))
    return Experiment(claim, levels, rule, measure, arms, together, picture, file, own)


def _held(module: ModuleType, file: Path, name: str, kind: type) -> Any:
    value = getattr(module, name, None)
    if not isinstance(value, kind):
        raise HeadstartError(
            f"{file} has no {name}, which has to be a {kind.__name__}; see `headstart lab new`"
        )
    return value

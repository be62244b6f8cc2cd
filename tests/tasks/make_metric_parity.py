"""Writes metric_parity.json: random texts and tags with the figures of the reference packages.

Run where sacrebleu, seqeval and rouge-score are installed, and where `squad_metrics` is the module of that
name from transformers 4.57 (`transformers/data/metrics`; 5.0 dropped it).
"""

import json
import random
import warnings
from importlib.metadata import version
from pathlib import Path

import sacrebleu
from rouge_score import rouge_scorer
from seqeval.metrics import f1_score, precision_score, recall_score
from squad_metrics import compute_exact, compute_f1, normalize_answer

CASES = 30
# fmt: off
WORDS = ["the", "a", "cat", "dog,", "sat", "on.", "mat", "3.5", "2-3", "it's", "&amp;", '"well"', "U.S.",
         "10,000", "e-mail", "é", "ünder", "/", "(or)", "?", "!", "the-cat", "<b>", "a.b", "日本"]
# fmt: on
SCHEMES = {"IOB": "BI", "IOBES": "BIES"}
ROUGE = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


def text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(0, words))).replace("sat", "\n")


def overlap_case(draw: random.Random) -> dict:
    references, predicted = [], []
    ways = draw.randint(1, 3)
    for _ in range(draw.randint(1, 5)):
        first = text(draw, 12)
        references.append([first] + [text(draw, 12) for _ in range(ways - 1)])
        predicted.append(" ".join(w for w in first.split(" ") if draw.random() < 0.8) + " " + text(draw, 3))
    streams = [list(stream) for stream in zip(*references, strict=True)]
    figures = {
        "bleu": sacrebleu.corpus_bleu(predicted, streams).score,
        "chrf": sacrebleu.corpus_chrf(predicted, streams).score,
    }
    scorer = rouge_scorer.RougeScorer(ROUGE)
    scores = [scorer.score_multi(ways, one) for ways, one in zip(references, predicted, strict=True)]
    figures |= {name: float(sum(s[name].fmeasure for s in scores)) / len(scores) for name in ROUGE}
    return {"references": references, "predicted": predicted, "figures": figures}


def entity_case(draw: random.Random, scheme: str) -> dict:
    tags = ["O", *(f"{mark}-{kind}" for mark in SCHEMES[scheme] for kind in ("PER", "LOC"))]
    truth = [[draw.choice(tags) for _ in range(draw.randint(1, 10))] for _ in range(6)]
    predicted = [[tag if draw.random() < 0.7 else draw.choice(tags) for tag in s] for s in truth]
    figures = {
        "f1": float(f1_score(truth, predicted)),
        "precision": float(precision_score(truth, predicted)),
        "recall": float(recall_score(truth, predicted)),
    }
    return {"truth": truth, "predicted": predicted, "figures": figures}


def answer_case(draw: random.Random) -> dict:
    right = [text(draw, 4) for _ in range(draw.randint(0, 3))]
    answer = draw.choice([*right, text(draw, 4)])
    ways = [way for way in right if normalize_answer(way)] or [""]
    figures = {
        "exact": max(compute_exact(way, answer) for way in ways),
        "f1": float(max(compute_f1(way, answer) for way in ways)),
    }
    return {"right": right, "answer": answer, "figures": figures}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    draw = random.Random(0)
    content = {
        "versions": {name: version(name) for name in ("sacrebleu", "rouge-score", "seqeval")},
        "overlap": [overlap_case(draw) for _ in range(CASES)],
        "entities": [entity_case(draw, scheme) for scheme in SCHEMES for _ in range(CASES // 2)],
        "answers": [answer_case(draw) for _ in range(4 * CASES)],
    }
    target = Path(__file__).with_name("metric_parity.json")
    target.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")

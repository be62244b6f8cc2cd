"""The Meaning view: a word in its sentences, through the layers and through training."""

import re
from dataclasses import asdict

import numpy as np
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from headstart.errors import HeadstartError
from headstart.studio.frames import decode, encode
from headstart.studio.spread import distances, groups, mean_distance, plane, telling
from headstart.studio.state import StudioState, frame

router = APIRouter()

MOST = 400  # occurrences
STATES = 8  # of a run
NEAR = 6  # neighbours of each occurrence
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class Meaning(BaseModel):
    """A word, where its sentences come from, and the states of a model that read them."""

    states: list[str] = Field(min_length=1, max_length=STATES)
    word: str = Field(min_length=1, max_length=60)
    corpus: str = ""
    """An address; empty: the reader's sentences alone."""
    own: list[str] = Field([], max_length=MOST)
    most: int = Field(200, ge=5, le=MOST)
    seed: int = 0


@router.post("/meaning")
async def meaning(studio: StudioState, asked: Meaning) -> Response:
    """Places `[S, L, N, 2]`, spread `[S, L]` (mean cosine distance), neighbours `[S, L, N, 6]` with their
    exact cosine distances, and groups with the words that tell them apart."""
    from headstart.corpus.occurrences import Occurrence, occurrences, word_pattern

    found, count = [], 0
    if asked.corpus:
        place = studio.folders.find(asked.corpus)
        sample = await run_in_threadpool(occurrences, place, asked.word, asked.most, asked.seed)
        found, count = sample.sample, sample.count
    pattern, word = word_pattern(asked.word.strip()), asked.word.strip()
    own = [Occurrence(text, *at.span(), "", "own") for text in asked.own if (at := pattern.search(text))]
    everything = [*found, *own]
    if len(everything) < 5:
        raise HeadstartError(
            f"{word!r} occurs in {len(everything)} sentences here, and a cloud needs at least 5; take a more "
            "frequent word, or write sentences of your own with it"
        )
    sentences = [(one.sentence, one.start, one.end) for one in everything]
    clouds, kept, left_only = [], [], False
    for state in asked.states:
        answer = await studio.worker.ask("vectors", studio.folders.find(state), sentences=sentences)
        fields, tensors = decode(answer)
        clouds.append(tensors["vectors"])
        kept, left_only = fields["kept"], fields["left_only"]
    states, layers = len(clouds), len(clouds[0])
    stacked = np.concatenate(clouds)  # [S * L, N, D]
    places, variance = plane(stacked)
    near = np.stack([_near(cloud) for cloud in stacked])
    apart = np.stack(
        [np.take_along_axis(distances(cloud), order, 1) for cloud, order in zip(stacked, near, strict=True)]
    )
    labels = groups(stacked[-1])
    shown = [everything[number] for number in kept]
    words = [
        [one.lower() for one in WORD.findall(text.sentence) if one.lower() != word.lower()] for text in shown
    ]
    shape = (states, layers, len(shown))
    return frame(encode({
        "occurrences": [asdict(one) for one in shown],
        "count": count,
        "own": len(own),
        "left_only": left_only,
        "variance": variance,
        "groups": labels.tolist(),
        "telling": telling(words, labels.tolist()),
    }, {
        "places": places.reshape(*shape, 2),
        "spread": np.array([mean_distance(cloud) for cloud in stacked], np.float32).reshape(states, layers),
        "near": near.reshape(*shape, -1).astype(np.int32),
        "apart": apart.reshape(*shape, -1).astype(np.float32),
    }))  # fmt: skip


def _near(cloud: np.ndarray) -> np.ndarray:
    """The nearest others of each, `[N, 6]`, or fewer of few."""
    apart = distances(cloud)
    np.fill_diagonal(apart, np.inf)
    return np.argsort(apart, 1, kind="stable")[:, : min(NEAR, len(cloud) - 1)]

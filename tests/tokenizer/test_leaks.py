"""Held-out documents that the training text repeats are found, counted and left out."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headstart.tokenizer.leaks import RUN, run_hashes, shares_in_training
from headstart.tokenizer.shards import ShardRecipe, TokenRows, encode, is_heldout, tokens_manifest


@given(st.integers(0, 2**32), st.integers(RUN, 90), st.integers(0, 40))
def test_shares_are_those_of_a_search_token_by_token(seed, length, copied) -> None:
    random = np.random.default_rng(seed)
    training = random.integers(0, 5000, 400).astype(np.uint16)
    document = random.integers(0, 5000, length).astype(np.uint16)
    copied = min(copied, length)
    document[:copied] = training[100 : 100 + copied]
    runs = {tuple(training[i : i + RUN]) for i in range(len(training) - RUN + 1)}
    inside = np.zeros(length, bool)
    for i in range(length - RUN + 1):
        if tuple(document[i : i + RUN]) in runs:
            inside[i : i + RUN] = True
    (share,) = shares_in_training([document], [training])
    assert share == inside.mean()


def test_a_run_over_the_border_of_two_pieces_is_seen(monkeypatch) -> None:
    monkeypatch.setattr("headstart.tokenizer.leaks.CHUNK", 64)
    training = np.arange(1000, dtype=np.uint32)
    document = training[50 : 50 + RUN + 8]
    assert shares_in_training([document, document[::-1]], [training]).tolist() == [1.0, 0.0]


def test_hashes_tell_runs_apart() -> None:
    ids = np.random.default_rng(0).integers(0, 300, 200_000)
    assert len(np.unique(run_hashes(ids))) == len(ids) - RUN + 1


def test_a_copied_document_is_left_out_and_counted(documents, tokenizer, tmp_path) -> None:
    held = next(d for d in documents if is_heldout(d["id"], 0.05) and len(d["text"]) > 400)
    copy = {**held, "id": next(f"copy-{n}" for n in range(99) if not is_heldout(f"copy-{n}", 0.05))}
    recipe = ShardRecipe(heldout_share=0.05)
    before = encode(documents, tokenizer, recipe, tmp_path / "before")
    after = encode([*documents, copy], tokenizer, recipe, tmp_path / "after")
    assert after["leaked"]["documents"] == before["leaked"]["documents"] + 1
    gone = after["leaked"]["tokens"] - before["leaked"]["tokens"]
    assert gone == before["splits"]["heldout"]["tokens"] - after["splits"]["heldout"]["tokens"] > 0
    kept = encode(
        [*documents, copy], tokenizer, ShardRecipe(heldout_share=0.05, heldout_overlap=1), tmp_path / "kept"
    )
    assert kept["leaked"]["documents"] == 0
    assert kept["splits"]["heldout"]["tokens"] >= before["splits"]["heldout"]["tokens"]
    assert tokens_manifest(tmp_path / "after")["leaked"] == after["leaked"]
    assert len(TokenRows(tmp_path / "after", "heldout", 64)) > 0

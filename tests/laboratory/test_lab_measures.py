"""What claims measure: two ways to the same number, and numbers that see what they should."""

import numpy as np
import pytest
import torch

from headstart.errors import HeadstartError
from headstart.lab import planting
from headstart.lab.measures.extraction import nats_behind, written_out
from headstart.lab.measures.losses import causal_losses, heldout_rows, masked_losses
from headstart.lab.measures.speed import cpu_ratio, median
from headstart.lab.runs import is_apart
from headstart.objectives.batch import loss_sum
from headstart.objectives.causal import causal_batch
from headstart.tokenizer.leaks import run_hashes
from headstart.tokenizer.shards import TokenRows, tokens_manifest


@pytest.fixture
def heldout(tokens):
    return heldout_rows(tokens, 32, each=3, documents=8)


def test_rows_stay_in_their_documents(tokens, heldout) -> None:
    assert heldout.ids.shape[1] == 32
    assert heldout.documents.max() == 7
    assert (np.diff(heldout.documents) >= 0).all()
    assert np.bincount(heldout.documents).max() == 3
    first = heldout.ids[np.flatnonzero(np.diff(heldout.documents, prepend=-1))][:, 0]
    assert (first == first[0]).all(), "the first row of a document begins with what opens it"
    assert not (heldout.ids[:, 1:] == first[0]).any()


def test_losses_by_token_add_up_to_the_loss_of_training(tiny, heldout) -> None:
    model = tiny("house").eval()
    batch = causal_batch(heldout.ids, np.zeros_like(heldout.ids))
    with torch.no_grad():
        whole = float(loss_sum(model, batch))
    losses = causal_losses(model, heldout.ids)
    assert losses.shape == (len(heldout.ids), 31)
    assert losses.sum() == pytest.approx(whole, rel=1e-5)
    rows = np.repeat(np.arange(len(losses)), 31)
    by_document = heldout.by_document(losses.reshape(-1), rows)
    for number, mean in enumerate(by_document):
        assert mean == pytest.approx(losses[heldout.documents == number].mean(), rel=1e-5)


def test_hidden_tokens_are_the_same_for_every_model(tiny, heldout) -> None:
    found = [
        masked_losses(tiny("house", seed, architecture=sight), heldout, 0.3)
        for seed, sight in ((0, "encoder"), (1, "decoder"))
    ]
    assert np.array_equal(found[0].places, found[1].places)
    assert not found[0].shown.any()
    assert not np.allclose(found[0].nats, found[1].nats)
    seen = masked_losses(tiny("house", 0, architecture="encoder"), heldout, 0.3, (0.0, 0.0, 1.0))
    assert seen.shown.all()
    assert np.array_equal(seen.places, found[0].places), "what is chosen does not depend on its fate"


def test_what_a_model_would_write_is_written_out(tiny) -> None:
    model = tiny("house", 3).eval()
    passages = []
    for begin in ([5, 9, 2, 7], [11, 3, 8, 1]):
        ids = [0, *begin]
        with torch.no_grad():
            while len(ids) < 13:
                ids.append(int(model.logits(model(torch.tensor([ids])))[0, -1].argmax()))
        passages.append(ids[1:])
    changed = [[*passage[:-1], (passage[-1] + 1) % 600] for passage in passages]
    assert written_out(model, passages + changed, 4, [0]).tolist() == [True, True, False, False]
    nats = nats_behind(model, passages + changed, 4, [0])
    assert (nats[:2] < nats[2:]).all()


def test_passages_are_planted_as_often_as_it_is_said(documents, tokenizer, tmp_path, monkeypatch) -> None:
    long = [one for one in documents if len(one["text"]) > 900]
    monkeypatch.setattr(planting, "corpus_documents", lambda folder, columns: iter(long))
    apart = sum(is_apart(one["id"], 0) for one in long)
    assert apart > 3, "the fixture has too few long documents"
    repeats = (0, 1, 5)
    planting.plant(
        tmp_path, tokenizer.path.parent, repeats, 1, lambda name: is_apart(name, 0), 0.05, tmp_path / "t"
    )
    found = planting.passages(tmp_path / "t")
    assert [count for _, count in found] == list(repeats)
    rows = TokenRows(tmp_path / "t", "train", 16)
    stream = np.concatenate([np.asarray(shard.ids(slice(None))) for shard in rows.shards])
    for ids, count in found:
        assert len(ids) == planting.LENGTH
        wanted = run_hashes(np.array(ids))[0]
        assert int((run_hashes(stream) == wanted).sum()) == count
    assert tokens_manifest(tmp_path / "t")["leaked"]["documents"] >= 2, "what was planted is held out no more"
    with pytest.raises(HeadstartError, match="long enough to plant"):
        planting.plant(
            tmp_path, tokenizer.path.parent, repeats, 99, lambda name: is_apart(name, 0), 0.05, tmp_path / "u"
        )


def test_ratios_of_the_same_work_are_about_one() -> None:
    states = torch.randn(200, 200)
    ratios = cpu_ratio(lambda: states @ states, lambda: [states @ states for _ in range(8)], rounds=5)
    assert median(ratios) < 1
    assert median([3.0, 1.0, 2.0]) == 2.0

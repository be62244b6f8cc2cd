"""Claims that need labels, probes, vectors and sweeps: what they measure has to see what is wrong."""

import json
import math

import numpy as np
import pytest
import torch

from headstart.errors import HeadstartError
from headstart.lab.claims.context import c03_senses, c05_whole_model
from headstart.lab.claims.data import c22_cleaned
from headstart.lab.claims.scaling import c24_power_laws, c27_twenty_tokens, c29_emergence
from headstart.lab.claims.training import c34_warm_up
from headstart.lab.fitting import fit_and_score, read_answers, readable_share, right_answers, subjects
from headstart.lab.house import LARGER, LARGER_PART, LARGER_WIDTH, PARTS, WIDTHS, sweep_name
from headstart.lab.measures import judged, probes, prompting, similarity
from headstart.lab.measures.curves import power_law, steepest_share
from headstart.lab.measures.losses import heldout_rows
from headstart.lab.runs import _first_bytes, is_apart
from headstart.models.vectors.word_vectors import WordVectors
from headstart.tasks.examples import Examples
from headstart.tokenizer.folder import open_tokenizer
from headstart.training.loop import pretrain
from headstart.training.recipe import PretrainRecipe

# --- labels ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tokens, tmp_path_factory):
    """An encoder that was trained for two steps, with its static start."""
    recipe = {
        "tokens": tokens,
        "model": {
            "family": "house",
            "architecture": "encoder",
            "layers": 2,
            "width": 32,
            "feedforward_width": 48,
        },
        "context": 32,
        "rows": 4,
        "micro_rows": 4,
        "steps": 2,
        "start": "static",
        "evaluate_rows": 8,
        "sinks": [],
    }
    run = tmp_path_factory.mktemp("base") / "run"
    pretrain(PretrainRecipe.checked(recipe), run)
    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Tagged sentences in which the tag is the word, for training and for testing."""
    folder = tmp_path_factory.mktemp("labels")
    rows = [
        {"tokens": ["the", word, "of", "man"], "tags": ["D", tag, "P", tag]}
        for word, tag in [("king", "N"), ("ran", "V"), ("queen", "N"), ("went", "V")] * 4
    ]
    for name, part in (("train", rows), ("test", rows[:6])):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)))
    return folder / "train.jsonl", folder / "test.jsonl"


@pytest.mark.parametrize(
    ("start", "adapt"),
    [("pre-trained", "full"), ("random", "full"), ("static", "full"), ("pre-trained", "mix")],
)
def test_a_fitted_run_answers_the_test_part(base, files, tmp_path, start, adapt) -> None:
    settings = {"task": "pos", "labels": 8, "seed": 0, "start": start, "adapt": adapt, "in words": False}
    fit_and_score(settings, base, files, tmp_path / "run")
    found = read_answers(tmp_path / "run")
    assert len(found["right"]) == len(found["majority"]) == 6
    assert found["readable"] == 100.0
    assert 0 < found["added"] < 1
    assert len(found["mix"]) == (3 if adapt == "mix" else 0)
    if adapt == "mix":
        assert sum(found["mix"]) == pytest.approx(1)


def test_counted_words_answer_without_a_network(files, tmp_path) -> None:
    fit_and_score({"task": "pos", "labels": 16, "seed": 0}, None, files, tmp_path / "run")
    found = read_answers(tmp_path / "run")
    assert min(found["majority"]) >= 75.0, (
        "a word's commonest tag is right for all words but the ambiguous one"
    )
    assert found["added"] == 0


def test_right_and_readable_answers_are_counted() -> None:
    assert right_answers(["a", "b"], ["a", "a"]) == [100.0, 0.0]
    assert right_answers([["a", "b", "b", "a"]], [["a", "a", "b", "a"]]) == [75.0]
    train = Examples("classification", ["x", "y"], ["spam", "ham"])
    assert readable_share(train, ["spam", "", "spum", "ham"]) == 50.0


def test_half_of_the_subjects_are_of_another_mail_of_the_class() -> None:
    mails = [f"{label} {n}\n\nbody of {label} {n}" for label in ("ham", "spam") for n in range(6)]
    made = subjects(Examples("classification", mails, ["ham"] * 6 + ["spam"] * 6))
    assert made.targets.count("own") == 6
    for (subject, body), target in zip(made.inputs, made.targets, strict=True):
        assert (body == f"body of {subject}") == (target == "own")
        assert subject.split()[0] == body.split()[2], "the class never tells"
    with pytest.raises(HeadstartError, match="fewer than two"):
        subjects(Examples("classification", ["no subject"], ["ham"]))


def test_the_better_frozen_way_is_the_rival() -> None:
    evidence = {
        f"{task} {labels} {way}.right": values
        for task in c05_whole_model.TASKS
        for labels in c05_whole_model.LABELS
        for way, values in (("full", [80.0, 80.0]), ("frozen", [70.0, 85.0]), ("mix", [79.0, 60.0]))
    }
    assert c05_whole_model.together(evidence)["pos 100, full above frozen"] == [1.0, -5.0]


# --- probes ---------------------------------------------------------------------------------------------


def test_the_nearest_centroid_is_found_and_balanced() -> None:
    train = np.array([[9.0, 1.0], [9.0, 1.2], [9.0, -1.0], [9.0, -1.2]])
    right = probes.centroid_right(train, ["a", "a", "b", "b"], train[[0, 2, 3]], ["a", "a", "b"])
    assert right.tolist() == [True, False, True], "vectors are centred: all point one way"
    assert probes.balanced(np.array([True] * 9 + [False]), ["a"] * 9 + ["b"]) == 50.0


def test_the_centre_of_gravity_is_where_the_gain_is() -> None:
    assert probes.centre_of_gravity([0, 0, 5]) == 2.0
    assert probes.centre_of_gravity([1, 0, 1]) == 1.0
    assert probes.centre_of_gravity([-1, -1, -1]) == 1.0


def test_states_of_a_word_are_those_of_its_last_token(tiny, tokens) -> None:
    model, tokenizer = tiny("house").eval(), open_tokenizer(tokens)
    words = ["The", "unimaginable", "king", "went"]
    (states,) = probes.word_states(model, tokenizer, [words])
    pieces = [tokenizer.encode(word if not n else f" {word}") for n, word in enumerate(words)]
    assert max(map(len, pieces)) > 1
    ids = [*tokenizer.opening, *(token for piece in pieces for token in piece)]
    layers = probes.layer_states(model, ids)
    place = len(tokenizer.opening) - 1
    for number, piece in enumerate(pieces):
        place += len(piece)
        assert np.allclose(states[:, number], layers[:, place])
    embedded = model.embedding(torch.tensor([ids]))[0].detach().numpy()
    assert np.allclose(layers[0], embedded)
    assert len(layers) == 1 + len(model.decoder.blocks)


def test_a_window_leaves_its_word_out() -> None:
    vectors = np.array([[1.0], [2.0], [30.0]])
    assert probes.window_means([vectors])[0][:, 0].tolist() == [16.0, 15.5, 1.5]


def test_homographs_need_both_tags_in_both_halves() -> None:
    half = [["Saw", "the", "saw"]] * 3, [["VERB", "DET", "NOUN"]] * 3
    assert c03_senses.homographs(half, half) == {"saw": {"NOUN", "VERB"}}
    assert not c03_senses.homographs(half, ([["saw"]] * 9, [["NOUN"]] * 9))
    assert c03_senses.places(*half, {"saw": {"NOUN", "VERB"}})["saw"][:2] == [(0, 0, "VERB"), (0, 2, "NOUN")]


def test_halves_keep_documents_whole(tmp_path) -> None:
    rows = [{"id": f"doc{n // 3}-{n % 3}", "tokens": [f"w{n // 3}"], "tags": ["NOUN"]} for n in range(60)]
    (tmp_path / "pos.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (first, _), (second, _) = c03_senses.halves([tmp_path / "pos.jsonl"])
    assert len(first) + len(second) == 60
    assert first
    assert second
    assert not {words[0] for words in first} & {words[0] for words in second}


# --- vectors of words -----------------------------------------------------------------------------------


def test_similarity_and_analogies_are_seen_and_lost_by_shuffling() -> None:
    angles = np.linspace(0, 1.5, 24)
    words = [f"w{n}" for n in range(24)]
    vectors = WordVectors(words, np.full(24, 99), np.stack([np.cos(angles), np.sin(angles)], 1))
    pairs = [("w0", f"w{n}", -float(n)) for n in range(1, 24)]
    assert similarity.agreement(vectors, pairs) == (pytest.approx(1.0), 23)
    assert similarity.agreement(similarity.shuffled(vectors, 0), pairs)[0] < 0.7
    grid = WordVectors(["king", "man", "queen", "woman"], np.full(4, 99), np.eye(4)[[0, 1, 2, 3]])
    grid.matrix[:] = [[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]]
    assert similarity.solved(grid, [("man", "king", "woman", "queen")], 9, 0) == (1.0, 1)
    rare = WordVectors(words, np.full(24, 3), vectors.matrix)
    with pytest.raises(HeadstartError, match="know 0 of 23 pairs"):
        similarity.agreement(rare, pairs)


def test_published_judgements_are_read() -> None:
    pytest.importorskip("gensim")
    assert len(similarity.similarities("wordsim353.tsv")) == 353
    assert len(similarity.similarities("simlex999.txt")) == 999
    assert len(similarity.analogies()) > 10_000


# --- prompts --------------------------------------------------------------------------------------------


class Copying(torch.nn.Module):
    """Says what stood behind the last token the time before; else the first option."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        row, out = ids[0].tolist(), torch.zeros(1, ids.shape[1], 40)
        before = [n for n in range(len(row) - 1) if row[n] == row[-1]]
        out[0, -1, row[before[-1] + 1] if before else 30] = 1.0
        return out

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return states


def test_examples_help_a_model_that_copies() -> None:
    shown = [([n], 30 + n % 2) for n in range(10)]
    found = {
        shots: prompting.right_after(Copying(), shown, shown, shots, [30, 31], [39], seed=0)
        for shots in (0, 10)
    }
    assert sum(found[0]) == 500.0
    assert found[10] == [100.0] * 10
    by_lot = prompting.right_after(Copying(), shown, shown, 10, [30, 31], [39], seed=0, wrong=True)
    assert 0 < sum(by_lot) < 1000


def test_a_model_without_memory_gains_nothing_by_repeats(tiny) -> None:
    assert abs(prompting.repeated_gain(tiny("house").eval(), range(10, 500), 12, 8, seed=0)) < 0.1


# --- judging texts --------------------------------------------------------------------------------------


def test_pieces_are_right_when_all_their_tokens_are() -> None:
    right = np.array([[True, True, True, False, True], [True, True, True, True, False]])
    assert judged.all_right(right, 2) == 0.75
    assert judged.all_right(right, 1) == 0.8


def test_next_tokens_are_the_likeliest_ones(tiny, tokens) -> None:
    model, ids = tiny("house").eval(), heldout_rows(tokens, 16, each=1, documents=3).ids
    with torch.no_grad():
        best = model.logits(model(torch.from_numpy(ids))).argmax(-1)[:, :-1].numpy()
    assert np.array_equal(judged.next_right(model, ids), best == ids[:, 1:])


def test_held_out_rows_of_a_domain_are_of_it_alone(tokens) -> None:
    found = judged.heldout_of_domain(tokens, "shakespeare")
    whole = heldout_rows(tokens, judged.ROW, each=4)
    assert 0 < len(found.ids) < len(whole.ids)
    rows = {row.tobytes() for row in whole.ids}
    assert all(row.tobytes() in rows for row in found.ids)
    assert np.array_equal(np.unique(found.documents), np.arange(found.documents.max() + 1))
    with pytest.raises(HeadstartError, match="of the domain nowhere"):
        judged.heldout_of_domain(tokens, "nowhere")


def test_rows_of_texts_stay_in_their_texts(documents, tokens) -> None:
    texts = ["too short", *(one["text"] for one in documents if len(one["text"]) > 2000)]
    found = judged.rows_of_texts(texts[:4], tokens, length=32)
    assert np.bincount(found.documents).tolist() == [4, 4, 4]
    assert (found.ids[::4, 0] == open_tokenizer(tokens).opening[0]).all()


def test_a_part_keeps_what_is_held_out() -> None:
    rows = [{"id": f"d{n}", "text": "ten bytes.", "domain": ""} for n in range(200)]
    kept = list(_first_bytes(rows, 95))
    apart = [row for row in rows if is_apart(row["id"], 0)]
    assert apart
    assert [row for row in kept if is_apart(row["id"], 0)] == apart
    assert len(kept) == len(apart) + 10


def test_the_last_part_of_a_folder_judges(tmp_path) -> None:
    (tmp_path / "b.txt").touch()
    with pytest.raises(HeadstartError, match="holds two at least"):
        c22_cleaned.parts((tmp_path,))
    (tmp_path / "a.txt").touch()
    assert c22_cleaned.parts((tmp_path,)) == (tmp_path / "a.txt", tmp_path / "b.txt")


# --- sweeps ---------------------------------------------------------------------------------------------


def swept(loss):
    """Evidence of a sweep of two seeds whose losses follow a formula of parameters and tokens."""
    evidence = {}
    for width, part in [*((w, p) for w in WIDTHS for p in PARTS), (LARGER_WIDTH, LARGER_PART)]:
        arm, parameters, tokens = sweep_name(width, part), 1000.0 * width, 4e5 * part
        evidence[f"{arm}.parameters"] = [parameters] * 2
        evidence[f"{arm}.tokens"] = [tokens] * 2
        evidence[f"{arm}.nats"] = [loss(parameters, tokens, seed) for seed in range(2)]
    return evidence


def test_a_sweep_that_follows_a_law_is_seen_and_one_that_does_not() -> None:
    lawful = c24_power_laws.together(swept(lambda n, d, s: 1 + 60 / n**0.4 + 60 / d**0.4))
    assert all(abs(off) < 1 for off in lawful["forecast of the larger run"])
    assert min(lawful["straightness over tokens"]) > 0.98
    crooked = c24_power_laws.together(
        swept(lambda n, d, s: 5 + math.sin(n) + (3 if d > 5e5 else 0) + math.cos(d))
    )
    assert min(crooked["straightness over tokens"]) < 0.9
    assert all(abs(off) > 5 for off in crooked["forecast of the larger run"])
    assert c24_power_laws.RULE.judge(crooked).verdict != "supported"


def test_published_splits_are_those_of_the_papers() -> None:
    found = c27_twenty_tokens.together(swept(lambda n, d, s: 1 + 60 / n**0.4 + 60 / d**0.4))
    assert found["tokens a parameter, approach 1"] == [pytest.approx(21.4, abs=0.5)] * 2
    assert found["own exponent of the size"] == [pytest.approx(0.5, abs=0.03)] * 2


def test_power_laws_are_straight_lines() -> None:
    exponent, straightness = power_law([1, 10, 100], [8, 4, 2])
    assert (exponent, straightness) == (pytest.approx(math.log10(2)), pytest.approx(1))
    assert power_law([1, 10, 100], [8, 2, 8])[1] < 0.1


def test_a_leap_is_in_the_metric() -> None:
    assert steepest_share([0, 1, 2, 4]) == 0.5
    assert steepest_share([2, 2]) == 0.0
    tokens = np.linspace(0.1, 0.9, len(c29_emergence.CURVE))
    evidence = {}
    for name, share in zip(c29_emergence.CURVE, tokens, strict=True):
        evidence[f"{name}.tokens"] = [share] * 3
        evidence[f"{name}.pieces"] = [share**c29_emergence.LENGTH] * 3
    found = c29_emergence.together(evidence)
    assert np.allclose(found["pieces less the power of tokens"], 0)
    assert c29_emergence.RULE.judge(evidence | found).verdict == "supported"
    assert LARGER in c29_emergence.CURVE


def test_the_best_rate_of_each_schedule_counts() -> None:
    evidence = {f"pre at {rate:g}, with.nats": [5.0 + rate, 6.0 - rate] for rate in c34_warm_up.RATES}
    evidence |= {f"constant at {rate:g}.nats": [7.0 - rate, 5.0] for rate in c34_warm_up.RATES}
    found = c34_warm_up.together(evidence)
    assert found["a tenth, best rate"] == [5.001, 5.984]
    assert found["constant, best rate"] == [6.984, 5.0]

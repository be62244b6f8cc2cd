"""Objectives by name: settings, which models and tokenizers fit, and runs through the one loop."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from streams import SPECIAL, assert_same, stream, tiny_model, vocabulary

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.registry import FAMILIES
from headstart.objectives.batch import generator, loss_sum
from headstart.objectives.recipe import OBJECTIVES, ObjectiveRecipe
from headstart.objectives.vocabulary import Vocabulary, read_vocabulary
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import ShardRecipe, encode
from headstart.tokenizer.train import TokenizerRecipe, train
from headstart.training import loop, run_folder
from headstart.training.data_loader import DataLoader
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe

RATES = {"masked": 0.4, "next-sentence": 0.15, "span-corruption": 0.15, "denoising": 0.3}


def test_every_family_names_an_objective_that_fits() -> None:
    for family in FAMILIES.values():
        assert OBJECTIVES[family.objective].architecture == family.fixed["architecture"], family.name


def test_settings_are_those_of_the_kind() -> None:
    assert {kind: one.model_fields["kind"].default for kind, one in OBJECTIVES.items()} == {
        kind: kind for kind in OBJECTIVES
    }
    for kind, rate in RATES.items():
        recipe = ObjectiveRecipe.model_validate({"kind": kind})
        assert type(recipe) is OBJECTIVES[kind]
        assert recipe.mask_rate == rate
        assert ObjectiveRecipe.model_validate(recipe.model_dump()) == recipe
        assert OBJECTIVES[kind](mask_rate=0.2).mask_rate == 0.2
    for kind, setting in (("causal", {"mask_rate": 0.1}), ("masked", {"mean_span": 4.0})):
        with pytest.raises(ValidationError, match=f"means nothing to the {kind} objective"):
            OBJECTIVES[kind](**setting)


def test_settings_in_a_whole_recipe(tmp_path) -> None:
    """Its default, its settings on the command line, and sentences that name file, line and key."""
    assert PretrainRecipe.load(None, ["tokens=t"]).objective == OBJECTIVES["masked"]()
    given = ["tokens=t", "objective.kind=denoising", "objective.delete_rate=0.1", "permute_sentences=false"]
    recipe = PretrainRecipe.load(None, given)
    assert recipe.objective == OBJECTIVES["denoising"](delete_rate=0.1, permute_sentences=False)
    recipe.save(tmp_path / "recipe.yaml")
    assert PretrainRecipe.load(tmp_path / "recipe.yaml", []) == recipe
    assert PretrainRecipe.load(None, ["tokens=t", "objective.mask_rate=0.2"]).objective.mask_rate == 0.2
    for overrides, sentence in [
        (["objective.kind=mask"], r"settings: objective.kind = 'mask' is wrong: input should be 'causal', "),
        (["objective.mask_rat=0.2"], r"unknown key 'objective.mask_rat'; did you mean 'mask_rate'"),
        (["objective.mask_rate=2"], r"settings: objective.mask_rate = 2 is wrong: input should be less"),
        (
            ["objective.kind=causal", "objective.whole_words=true"],
            r"settings: objective: whole_words means nothing to the causal objective; leave it out",
        ),
    ]:
        with pytest.raises(HeadstartError, match=sentence):
            PretrainRecipe.load(None, ["tokens=t", *overrides])
    path = tmp_path / "wrong.yaml"
    path.write_text("tokens: t\nobjective:\n  kind: span-corruption\n  mean_span: 0\n")
    with pytest.raises(HeadstartError, match=r"wrong.yaml line 4: objective.mean_span = 0 is wrong"):
        PretrainRecipe.load(path, [])


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_recipes_of_earlier_versions_load(kind) -> None:
    """They hold the settings of all kinds, those that mean nothing with their defaults."""
    everything = {
        "whole_words": False, "fixed_count": False, "static": False, "mean_span": 3.0,
        "permute_sentences": True, "delete_rate": 0.0, "mask_rate": RATES.get(kind, 0.4),
    }  # fmt: skip
    assert ObjectiveRecipe.model_validate({"kind": kind} | everything) == OBJECTIVES[kind]()


def sizes(architecture: str, **changes) -> TransformerConfig:
    return tiny_model(architecture, **changes).config


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_what_fits(kind) -> None:
    for architecture in ("encoder", "decoder", "encoder-decoder"):
        config = sizes(architecture)
        if architecture == OBJECTIVES[kind].architecture:
            OBJECTIVES[kind]().check_fit(config, vocabulary())
        else:
            with pytest.raises(
                HeadstartError, match=rf"{kind} is for .*s; change model\.family, or"
            ) as caught:
                OBJECTIVES[kind]().check_fit(config, vocabulary())
            assert not str(caught.value).endswith("to ")


def without(**changes) -> Vocabulary:
    known = vocabulary()
    special = type(SPECIAL)(**(vars(SPECIAL) | changes))
    return Vocabulary(special, known.ordinary, known.framing, known.begins_word, known.ends_sentence)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(HeadstartError, match="next-sentence needs a model that tells"):
        OBJECTIVES["next-sentence"]().check_fit(sizes("encoder", next_sentence=False), vocabulary())
    with pytest.raises(HeadstartError, match="special token for 'mask'"):
        OBJECTIVES["masked"]().check_fit(sizes("encoder"), without(mask=None))
    few = without(sentinels=SPECIAL.sentinels[:3])
    with pytest.raises(HeadstartError, match=r"hides 7 spans in rows of 141 tokens.* has 3 sentinels"):
        OBJECTIVES["span-corruption"]().check_fit(sizes("encoder-decoder"), few)


SENTENCE = 'He said: nothing was lost." The unbelievable storms, Emma, came back!'


@pytest.mark.parametrize("kind", ["headstart", "bert", "llama2"])
def test_words_and_sentences_of_real_vocabularies(kind, documents, tmp_path) -> None:
    made = train((d["text"] for d in documents), TokenizerRecipe(kind=kind, vocab_size=700), tmp_path / "t")
    known = read_vocabulary(made)
    ids = np.array(made.encode(SENTENCE))
    assert known.ordinary[ids].all()
    assert not known.ordinary[list(made.special.all)].any()
    assert not known.framing[ids].any()
    groups: list[str] = []
    for index in ids:
        piece = made.pieces[index].decode()
        if known.begins_word[index] or not groups:
            groups.append(piece)
        else:
            groups[-1] += piece
    words = [group.strip().lower() for group in groups if group.strip()]
    letters = [word for word in words if word[0].isalpha()]
    assert letters == [
        "he",
        "said",
        "nothing",
        "was",
        "lost",
        "the",
        "unbelievable",
        "storms",
        "emma",
        "came",
        "back",
    ]
    ends = [made.decode(ids[: place + 1]).rstrip('" ') for place in np.flatnonzero(known.ends_sentence[ids])]
    assert [end[-5:].lower() for end in ends] == ["lost.", "back!"]


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_models_learn_by_it(kind) -> None:
    """Which eight of the hundred tokens there are is learned in a few steps."""
    ids, segments = stream(16, 48, 40, np.random.default_rng(0))
    ids = np.where(vocabulary().ordinary[ids], 5 + ids % 8, ids)
    objective = OBJECTIVES[kind]()
    model = tiny_model(OBJECTIVES[kind].architecture)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.03)
    losses = []
    for step in range(25):
        batch = objective.batch(ids, segments, vocabulary(), generator(0, step))
        loss = loss_sum(model, batch) / len(batch.targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 4
    assert losses[-1] < 3


def run(tokens, family: str, objective: dict, **changes) -> PretrainRecipe:
    settings = {
        "tokens": tokens,
        "model": {"family": family, "layers": 1, "width": 16, "heads": 2, "feedforward_width": 24},
        "objective": objective,
        "context": 32,
        "rows": 8,
        "micro_rows": 4,
        "steps": 6,
        "evaluate_every": 3,
        "evaluate_rows": 8,
        "checkpoint_every": 3,
    }
    return PretrainRecipe.model_validate(settings | changes)


RUNS = [
    ("headstart-decoder", {"kind": "prefix"}),
    ("headstart-encoder", {"kind": "masked", "static": True, "whole_words": True, "fixed_count": True}),
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    """The machine's speed is measured once a run; here it is of no interest."""
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})


def evaluations(folder) -> list[dict]:
    return [event for event in read_metrics(folder) if event["kind"] == "evaluation"]


@pytest.mark.parametrize(("family", "objective"), RUNS, ids=[objective["kind"] for _, objective in RUNS])
def test_runs_go_through_the_loop_and_resume(family, objective, tokens, tmp_path) -> None:
    pretrain(run(tokens, family, objective), tmp_path / "whole")
    assert evaluations(tmp_path / "whole")[-1]["step"] == 6
    assert_resumes(run(tokens, family, objective), tmp_path)


def assert_resumes(recipe: PretrainRecipe, folder) -> None:
    """A run that dies and goes on ends as `folder / "whole"` did, dropout and all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Run, "update", _dies_at(5, loop.Run.update))
        with pytest.raises(KeyboardInterrupt):
            pretrain(recipe, folder / "cut")
    pretrain(recipe, folder / "cut")
    weights = [(folder / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("family", "objective"),
    [
        ("bert", "next-sentence"),
        ("bart", "denoising"),
        ("t5", "span-corruption"),
        ("transformer-2017", "denoising"),
    ],
)
def test_families_learn_by_their_objectives_in_the_loop(family, objective, documents, tmp_path) -> None:
    few = documents[:60]
    recipe = TokenizerRecipe(kind=FAMILIES[family].tokenizer, vocab_size=500)
    made = train((d["text"] for d in few), recipe, tmp_path / "tokenizer")
    encode(few, made, ShardRecipe(heldout_share=0.2), tmp_path / "tokens")
    model = run(tmp_path / "tokens", family, {"kind": objective})
    pretrain(model, tmp_path / "whole")
    found = evaluations(tmp_path / "whole")
    assert found[-1]["loss"] < found[0]["loss"]
    assert found[0]["bits_per_byte"] > 0
    assert_resumes(model, tmp_path)


def _dies_at(step: int, update):
    def dying(self):
        if self.step == step:
            raise KeyboardInterrupt
        return update(self)

    return dying


def test_static_masks_belong_to_the_row(tokens) -> None:
    recipe = run(tokens, "headstart-encoder", {"kind": "masked", "static": True})
    feed = DataLoader(recipe, read_vocabulary(open_tokenizer(tokens)))
    first, later = (
        feed._batch(*feed.train.read(rows), rows, step)
        for rows, step in ((np.array([3, 5, 9]), 0), (np.array([9, 1, 3]), 77))
    )
    assert_same(first.rows(0, 1), later.rows(2, 3))
    assert_same(first.rows(2, 3), later.rows(0, 1))
    assert not torch.equal(first.rows(0, 1).positions, first.rows(1, 2).positions)


def test_a_wrong_family_is_one_sentence(tokens, tmp_path) -> None:
    with pytest.raises(HeadstartError, match="is for encoder-decoders, and headstart-decoder is"):
        pretrain(run(tokens, "headstart-decoder", {"kind": "span-corruption"}), tmp_path / "run")


def test_documents_of_different_rows_have_different_numbers(documents, tokenizer, tmp_path) -> None:
    """What next-sentence pairs rely on: rows of one document, and no others of a shard, share its number."""
    from headstart.tokenizer.shards import TokenRows

    encode(documents, tokenizer, ShardRecipe(heldout_share=0.05), tmp_path / "tokens")
    rows = TokenRows(tmp_path / "tokens", "train", 64)
    ids, segments = rows.read(np.arange(len(rows)))
    opened = np.cumsum(ids.reshape(-1) == tokenizer.special.start)
    np.testing.assert_array_equal(segments.reshape(-1), opened)

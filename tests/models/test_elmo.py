"""ELMo against its paper's equations written as plain loops, and what must never leak."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from headstart.errors import HeadstartError
from headstart.models.vectors import elmo
from headstart.models.vectors.elmo import (
    PRESETS,
    CharacterOptions,
    Elmo,
    ElmoLanguageModel,
    ElmoOptions,
    LstmOptions,
    ScalarMix,
    build,
    character_ids,
    load_elmo,
    pack,
    parameters,
    preset,
)

# Clips so narrow that they matter at once.
OPTIONS = ElmoOptions(
    CharacterOptions(((1, 3), (2, 4), (5, 6)), 2, embedding_dim=4),
    LstmOptions(dim=7, projection_dim=5, n_layers=3, cell_clip=0.05, proj_clip=0.01),
)
VOCABULARY = {"<S>": 30, "</S>": 30, "<UNK>": 9} | {f"w{n}": 100 // (n + 1) for n in range(40)}
WORDS = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=60)
SENTENCES = st.lists(st.lists(WORDS, max_size=6), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def model() -> ElmoLanguageModel:
    return build(OPTIONS, VOCABULARY, seed=1)


def states_by_the_paper(model: Elmo, sentence: list[str]) -> np.ndarray:
    """All layers of one sentence without its boundaries, `[layers + 1, T, 2 P]`, one number after another."""
    weights = {name: tensor.detach().double().numpy() for name, tensor in model.state_dict().items()}
    options = model.options

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def characters(word: str) -> list[int]:
        inner = {"<S>": [256], "</S>": [257]}.get(word) or list(word.encode())[:48]
        ids = [258, *inner, 259]
        return [one + 1 for one in ids + [260] * (50 - len(ids))]

    def encode(word: str) -> np.ndarray:
        symbols = weights["encoder.characters.weight"][characters(word)]  # [50, 16]
        found = []
        for number, (width, count) in enumerate(options.char_cnn.filters):
            kernel = weights[f"encoder.convolutions.{number}.weight"]
            bias = weights[f"encoder.convolutions.{number}.bias"]
            for k in range(count):
                values = [
                    sum(kernel[k, :, j] @ symbols[start + j] for j in range(width)) + bias[k]
                    for start in range(50 - width + 1)
                ]
                found.append(max(0.0, *values))
        x = np.array(found)
        for number in range(options.char_cnn.n_highway):
            both = (
                weights[f"encoder.highways.{number}.weight"] @ x + weights[f"encoder.highways.{number}.bias"]
            )
            gate = sigmoid(both[len(x) :])
            x = gate * np.maximum(both[: len(x)], 0) + (1 - gate) * x
        return weights["encoder.projection.weight"] @ x + weights["encoder.projection.bias"]

    def read(vectors: list[np.ndarray], direction: str) -> list[list[np.ndarray]]:
        layers = [vectors]
        for depth in range(options.lstm.n_layers):
            part = {
                name: weights[f"{direction}.{depth}.{name}"]
                for name in ("input", "recurrent", "bias", "projection")
            }
            cells = options.lstm.dim
            c, h, outputs = np.zeros(cells), np.zeros(options.lstm.projection_dim), []
            for x in layers[-1]:
                z = part["input"] @ x + part["recurrent"] @ h + part["bias"]
                i, f, g, o = (z[k * cells : (k + 1) * cells] for k in range(4))
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                c = np.clip(c, -options.lstm.cell_clip, options.lstm.cell_clip)
                h = part["projection"] @ (sigmoid(o) * np.tanh(c))
                h = np.clip(h, -options.lstm.proj_clip, options.lstm.proj_clip)
                outputs.append(h + x if depth else h)
            layers.append(outputs)
        return layers

    vectors = [encode(word) for word in ["<S>", *sentence, "</S>"]]
    forward = read(vectors, "forwards")
    backward = [layer[::-1] for layer in read(vectors[::-1], "backwards")]
    return np.array(
        [
            [np.concatenate(pair) for pair in zip(f, b, strict=True)][1:-1]
            for f, b in zip(forward, backward, strict=True)
        ]
    )


def test_equal_to_the_equations(model) -> None:
    sentences = [["The", "été", "x" * 70], [], ["a"], ["w1", "w2", "w1", "<S>", "w44"]]
    vectors, mask = model.elmo(sentences)
    assert mask.sum(1).tolist() == [3, 0, 1, 5]
    for number, sentence in enumerate(sentences):
        if sentence:
            expected = states_by_the_paper(model.elmo, sentence)
            torch.testing.assert_close(
                vectors[:, number, : len(sentence)].double(), torch.from_numpy(expected), atol=1e-6, rtol=1e-5
            )
        assert not vectors[:, number, len(sentence) :].any(), "nothing stands behind a sentence"
    clip = OPTIONS.lstm.proj_clip
    assert (vectors[1].abs() == clip).any(), "the clip is at work"


@settings(max_examples=25)
@given(SENTENCES)
def test_a_batch_gives_what_single_sentences_give(sentences) -> None:
    model = build(OPTIONS, VOCABULARY, seed=1).elmo
    together, _ = model(sentences)
    for number, sentence in enumerate(sentences):
        alone, _ = model([sentence])
        torch.testing.assert_close(together[:, number, : len(sentence)], alone[:, 0], atol=1e-6, rtol=1e-5)


@settings(max_examples=25)
@given(st.lists(WORDS, min_size=2, max_size=7), st.data())
def test_no_direction_sees_what_it_has_to_predict(sentence, data) -> None:
    model = build(OPTIONS, VOCABULARY, seed=1).elmo.double()
    place = data.draw(st.integers(0, len(sentence) - 1))
    changed = [*sentence[:place], sentence[place] + "#", *sentence[place + 1 :]]
    before, after = (model([words, ["other"]])[0][1:] for words in (sentence, changed))
    width = OPTIONS.lstm.projection_dim
    parts = {
        "forwards, from the left": (slice(0, 1), slice(place), slice(width)),
        "backwards, from the right": (slice(0, 1), slice(place + 1, None), slice(width, None)),
        "no sentence sees another": (slice(1, 2), slice(None), slice(None)),
    }
    for name, part in parts.items():
        assert torch.allclose(before[:, *part], after[:, *part], rtol=1e-9, atol=1e-12), name


def test_a_words_vector_depends_on_both_sides(model) -> None:
    vectors = [
        model.elmo([sentence.split()])[0][:, 0, 2] for sentence in ("a b C d e", "a X C d e", "a b C d X")
    ]
    width = OPTIONS.lstm.projection_dim
    for other, half in ((vectors[1], slice(width)), (vectors[2], slice(width, None))):
        assert torch.equal(vectors[0][0], other[0]), "layer 0 is the word alone"
        assert not torch.allclose(vectors[0][1:, half], other[1:, half], rtol=1e-4)


@given(SENTENCES)
def test_packing_keeps_every_word_once(sentences) -> None:
    packed = pack(sentences)
    whole = [["<S>", *sentence, "</S>"] for sentence in sentences]
    found: dict[tuple[int, int], str] = {}
    for kind, sentence, place in zip(packed.types, packed.sentence, packed.place, strict=True):
        found[int(sentence), int(place)] = packed.words[kind]
    assert found == {(b, t): word for b, words in enumerate(whole) for t, word in enumerate(words)}
    assert len(set(packed.words)) == len(packed.words)
    assert sum(packed.sizes) == len(packed.types) == sum(map(len, whole))
    assert torch.equal(packed.reverse[packed.reverse], torch.arange(len(packed.types)))
    assert torch.equal(packed.sentence[packed.reverse], packed.sentence)
    assert torch.equal(packed.sentence[packed.inside], packed.sentence[packed.following])
    assert torch.equal(packed.place[packed.inside] + 1, packed.place[packed.following])
    assert len(packed.inside) == sum(len(words) - 1 for words in whole)


def test_the_backward_pass_against_numbers() -> None:
    sizes, cells, width = [3, 3, 2, 1], 4, 3
    torch.manual_seed(0)
    shapes = [(sum(sizes), 4 * cells), (4 * cells, width), (width, cells)]
    tensors = [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]
    outputs = elmo._ClippedLstm.apply(*tensors, sizes, 0.3, 0.15)
    assert 0.1 < (outputs.abs() == 0.15).double().mean() < 0.9, "some outputs are clipped"
    assert torch.autograd.gradcheck(lambda *given: elmo._ClippedLstm.apply(*given, sizes, 0.3, 0.15), tensors)


def test_loss_of_the_language_model_is_the_mean_over_both_directions(model, monkeypatch) -> None:
    sentences = [["w3", "new", "w1"], ["w2"]]
    nats = 0.0
    for sentence in sentences:
        words = ["<S>", *sentence, "</S>"]
        width = OPTIONS.lstm.projection_dim
        packed = pack([sentence])
        forward, backward = model.elmo.directions(packed)
        ids = torch.tensor([model.number.get(word, model.number["<UNK>"]) for word in words])
        for states, order in ((forward[-1], ids), (backward[-1], ids.flip(0))):
            assert states.shape == (len(words), width)
            scores = model.softmax(states[:-1])
            nats += torch.nn.functional.cross_entropy(scores, order[1:], reduction="sum").item()
    monkeypatch.setattr(elmo, "LOGITS_AT_ONCE", 100)  # two rows at a time
    total, count = model.loss_sum(pack(sentences))
    assert count == 2 * (4 + 2)
    assert total.item() == pytest.approx(nats, rel=1e-5)
    with torch.no_grad():
        assert model.loss_sum(pack(sentences))[0].item() == pytest.approx(nats, rel=1e-5)


def test_gradients_of_the_chunked_softmax_are_those_of_the_plain_one(monkeypatch) -> None:
    torch.manual_seed(0)
    tensors = [
        torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in ((7, 3), (11, 3), (11,))
    ]
    targets = torch.tensor([0, 3, 3, 10, 5, 1, 0])
    plain = torch.nn.functional.cross_entropy(torch.nn.functional.linear(*tensors), targets, reduction="sum")
    expected = torch.autograd.grad(2 * plain, tensors)
    monkeypatch.setattr(elmo, "LOGITS_AT_ONCE", 25)
    ours = elmo._CrossEntropy.apply(*tensors, targets, True)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(torch.autograd.grad(2 * ours, tensors), expected)


def test_sampled_softmax_tends_to_the_whole_one(model) -> None:
    packed = pack([["w3", "new", "w1"], ["w2", "w9"]])
    whole = model.loss_sum(packed)[0].item()
    every = model.loss_sum(packed, samples=200_000, random=np.random.default_rng(0))[0].item()
    assert every == pytest.approx(whole, rel=1e-5)


def test_sampled_softmax_has_its_optimum_where_the_whole_one_has(model) -> None:
    """Where the scores are the true log-probabilities, the mean gradient is zero; uncorrected it is not."""
    random, words = np.random.default_rng(0), len(VOCABULARY)
    best = torch.from_numpy(np.log(model.shares)).float().requires_grad_()
    hidden, weight = torch.zeros(20, 5), torch.zeros(words, 5)
    gradients = {True: torch.zeros(words), False: torch.zeros(words)}
    for _ in range(1500):
        targets = torch.from_numpy(random.choice(words, 20, p=model.shares))
        candidates, correction = model._candidates(targets, 10, random)
        places = torch.searchsorted(candidates, targets)
        for corrected in (True, False):
            bias = best[candidates] + correction * corrected
            loss = elmo._CrossEntropy.apply(hidden, weight[candidates], bias, places, True)
            gradients[corrected] += torch.autograd.grad(loss, best)[0] / (20 * 1500)
    assert gradients[True].abs().max() < 0.015
    assert gradients[False].abs().max() > 0.05


@pytest.mark.parametrize(("name", "millions"), [("original", 93.6), ("medium", 28.0), ("small", 13.6)])
def test_published_sizes(name, millions) -> None:
    with torch.device("meta"):
        count = parameters(Elmo(preset(name)))
    assert round(count / 1e6, 1) == millions


def test_an_unknown_size_names_the_known_ones() -> None:
    with pytest.raises(HeadstartError, match=r"'smal'.*did you mean 'small'"):
        preset("smal")


def test_symbols_of_words() -> None:
    ids = character_ids(["<S>", "</S>", "é", "y" * 60], widest=3)
    assert ids.shape == (4, 50)
    assert ids[0, :4].tolist() == [259, 257, 260, 261]
    assert ids[1, :4].tolist() == [259, 258, 260, 261]
    assert ids[2, :5].tolist() == [259, 0xC3 + 1, 0xA9 + 1, 260, 261]
    assert ids[3].tolist() == [259] + [ord("y") + 1] * 48 + [260]
    assert character_ids(["ab"], widest=3).shape == (1, 4 + 3)


def test_a_folder_gives_the_same_vectors(model, tmp_path) -> None:
    model.save(tmp_path / "model")
    sentences = [["some", "words"], ["w1"]]
    again = ElmoLanguageModel.load(tmp_path / "model")
    assert again.vocabulary == VOCABULARY
    assert again.elmo.options == OPTIONS
    torch.testing.assert_close(
        load_elmo(tmp_path / "model")(sentences), model.elmo(sentences), atol=0, rtol=0
    )
    assert again.loss_sum(pack(sentences))[0].item() == model.loss_sum(pack(sentences))[0].item()
    with safe_open(tmp_path / "model" / "model.safetensors", "pt") as file:
        assert {"encoder.projection.weight", "forwards.0.recurrent", "softmax.bias"} <= set(file.keys())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "not a finished"),
        (lambda folder: (folder / "options.json").write_text("{}"), "options lack"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "does not hold"),
        (lambda folder: (folder / "vocabulary.txt").write_text("<UNK> 3\n"), "does not hold"),
        (lambda folder: (folder / "vocabulary.txt").write_text("<UNK>\n"), "line 1"),
    ],
)
def test_a_damaged_folder_is_a_sentence(model, tmp_path, change, message) -> None:
    model.save(tmp_path / "model")
    change(tmp_path / "model")
    with pytest.raises(HeadstartError, match=message):
        ElmoLanguageModel.load(tmp_path / "model")


def test_options_are_allennlps() -> None:
    options = {
        "lstm": {
            "use_skip_connections": True,
            "projection_dim": 128,
            "cell_clip": 3,
            "proj_clip": 3,
            "dim": 1024,
            "n_layers": 2,
        },
        "char_cnn": {
            "activation": "relu",
            "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],
            "n_highway": 1,
            "embedding": {"dim": 16},
            "n_characters": 262,
            "max_characters_per_token": 50,
        },
    }
    assert ElmoOptions.from_json(options) == PRESETS["small"]
    assert PRESETS["small"].to_json() == options
    options["char_cnn"]["activation"] = "tanh"
    with pytest.raises(HeadstartError, match="activation"):
        ElmoOptions.from_json(options)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_scalar_mix(layer_norm) -> None:
    torch.manual_seed(0)
    layers, mask = torch.randn(3, 2, 4, 5), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    layers = layers * mask[None, :, :, None]
    mix = ScalarMix(3, layer_norm)
    with torch.no_grad():
        mix.weights[:] = torch.tensor([0.5, -1.0, 2.0])
        mix.gamma.fill_(1.7)
    shares = [math.exp(w) / sum(map(math.exp, (0.5, -1.0, 2.0))) for w in (0.5, -1.0, 2.0)]
    expected = torch.zeros(2, 4, 5)
    for share, layer in zip(shares, layers, strict=True):
        if layer_norm:
            words = layer[mask]
            layer = (layer - words.mean()) / words.var(correction=0).sqrt() * mask[:, :, None]
        expected += 1.7 * share * layer
    torch.testing.assert_close(mix(layers, mask), expected)


def test_no_sentences_is_a_sentence(model) -> None:
    with pytest.raises(HeadstartError, match="no sentences"):
        model.elmo([])

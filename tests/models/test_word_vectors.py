"""Word vectors: what they answer, and that they survive every file format both ways."""

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.models.vectors.word_vectors import (
    FORMATS,
    WordVectors,
    read_vectors,
    read_vocabulary,
    write_vocabulary,
)

WORD = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=8).filter(
    lambda word: word.split() == [word]
)


@pytest.fixture
def vectors() -> WordVectors:
    words = ["king", "queen", "man", "woman", "Übung", "7", "don't"]
    matrix = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    matrix[:4] = [[1, 0, 1], [1, 0, -1], [0.1, 1, 1], [0.1, 1, -1]]
    return WordVectors(words, np.arange(70, 0, -10), matrix)


def same(one: WordVectors, other: WordVectors) -> bool:
    return one.words == other.words and np.array_equal(one.matrix, other.matrix)


def test_answers(vectors) -> None:
    assert vectors.analogy("man", "king", "woman") == [("queen", pytest.approx(1, abs=0.05))]
    assert vectors.similarity("king", "queen") == pytest.approx(0, abs=1e-6)
    assert vectors.vector("man").tolist() == pytest.approx([0.1, 1, 1])
    scores = vectors.nearest("king", 3)
    assert [score for _, score in scores] == sorted((score for _, score in scores), reverse=True)
    assert scores[0] == (scores[0][0], pytest.approx(vectors.similarity("king", scores[0][0])))
    assert "king" not in dict(vectors.nearest("king", 100))
    assert len(vectors.nearest("king", 100)) == 6
    assert "king" in vectors
    assert "duke" not in vectors


def test_answers_are_gensims(vectors, tmp_path) -> None:
    vectors.export(tmp_path / "vectors.txt", "word2vec-text")
    theirs = KeyedVectors.load_word2vec_format(tmp_path / "vectors.txt")
    for ours, reference in (
        (vectors.nearest("7", 4), theirs.most_similar("7", topn=4)),
        (
            vectors.analogy("7", "king", "don't", 3),
            theirs.most_similar(positive=["king", "don't"], negative=["7"], topn=3),
        ),
    ):
        assert [word for word, _ in ours] == [word for word, _ in reference]
        assert [score for _, score in ours] == pytest.approx([score for _, score in reference], abs=1e-5)


def test_a_folder_keeps_everything(vectors, tmp_path) -> None:
    vectors.save(tmp_path / "model")
    again = WordVectors.load(tmp_path / "model")
    assert same(vectors, again)
    assert again.counts.tolist() == vectors.counts.tolist()
    assert same(vectors, read_vectors(tmp_path / "model"))


@pytest.mark.parametrize("format", FORMATS)
@given(
    words=st.lists(WORD, min_size=1, max_size=6, unique=True), seed=st.integers(0, 9), width=st.integers(2, 5)
)
def test_every_format_gives_back_every_bit(tmp_path_factory, format, words, seed, width) -> None:
    random = np.random.default_rng(seed)
    matrix = (random.normal(size=(len(words), width)) * 10.0 ** random.integers(-20, 20)).astype(np.float32)
    path = tmp_path_factory.mktemp("vectors") / "file"
    WordVectors(words, np.zeros(len(words)), matrix).export(path, format)
    assert same(read_vectors(path), WordVectors(words, np.zeros(len(words)), matrix))


@pytest.mark.parametrize("format", FORMATS)
def test_gensim_reads_what_we_write(vectors, tmp_path, format) -> None:
    vectors.export(tmp_path / "file", format)
    theirs = KeyedVectors.load_word2vec_format(
        tmp_path / "file", binary=format == "word2vec-binary", no_header=format == "glove-text"
    )
    assert theirs.index_to_key == vectors.words
    assert np.array_equal(theirs.vectors, vectors.matrix)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("header", [False, True])
def test_we_read_what_gensim_writes(vectors, tmp_path, binary, header) -> None:
    if binary and not header:
        return
    theirs = KeyedVectors(3)
    theirs.add_vectors(vectors.words, vectors.matrix)
    theirs.save_word2vec_format(tmp_path / "file", binary=binary, write_header=header)
    ours = read_vectors(tmp_path / "file")
    assert ours.words == vectors.words
    assert ours.matrix == pytest.approx(vectors.matrix, abs=1e-6)


def test_glove_words_with_spaces_are_read(tmp_path) -> None:
    (tmp_path / "glove.txt").write_text("the 1 2 3\n. . . 4 5 6\nat name@domain.com 7 8 9\n")
    vectors = read_vectors(tmp_path / "glove.txt")
    assert vectors.words == ["the", ". . .", "at name@domain.com"]
    assert vectors.matrix[1].tolist() == [4, 5, 6]
    with pytest.raises(HeadstartError, match="white space"):
        vectors.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the 1 2 3\nof 4 x 6\n", "line 2 is not a word and 3 numbers"),
        (b"the 1 2 3\nof 4 5\n", "line 2"),
        (b"2 3\nthe 1 2 3\n", "holds 1 words and announces 2"),
        (b"2 3\nthe " + bytes(range(12)) + b"\nof \x00", "ends after 1 of 2"),
        (b"", "holds 0 words"),
    ],
)
def test_broken_files_are_a_sentence(tmp_path, content, message) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(HeadstartError, match=message):
        read_vectors(tmp_path / "file")


def test_mistakes_are_sentences(vectors, tmp_path) -> None:
    with pytest.raises(HeadstartError, match="no vector for the word 'King'; did you mean 'king'"):
        vectors.vector("King")
    with pytest.raises(HeadstartError, match=r"no vector for the word 'quen'; did you mean 'queen'"):
        vectors.nearest("quen")
    with pytest.raises(HeadstartError, match=r"format 'glove'.*did you mean 'glove-text'"):
        vectors.export(tmp_path / "file", "glove")
    with pytest.raises(HeadstartError, match="do not belong together"):
        WordVectors(["a", "a"], np.zeros(2), np.zeros((2, 2)))
    with pytest.raises(HeadstartError, match="there are no word vectors"):
        read_vectors(tmp_path / "nowhere")
    vectors.save(tmp_path / "model")
    (tmp_path / "model" / "vectors.safetensors").write_bytes(b"no")
    with pytest.raises(HeadstartError, match="damaged"):
        read_vectors(tmp_path / "model")


def test_vocabulary_round_trip(tmp_path) -> None:
    counts = {"ß": 3, "a\u0301": 2, "x": 0}
    write_vocabulary(tmp_path / "vocabulary.txt", counts)
    assert read_vocabulary(tmp_path / "vocabulary.txt") == counts
    assert list(read_vocabulary(tmp_path / "vocabulary.txt")) == list(counts)


def test_files_in_gzip(tmp_path) -> None:
    import gzip

    packed = gzip.compress(b"2 2\nthe 1 2\nof 3 4\n")
    (tmp_path / "vectors.txt.gz").write_bytes(packed)
    assert read_vectors(tmp_path / "vectors.txt.gz").vector("of").tolist() == [3.0, 4.0]
    (tmp_path / "vectors.txt.gz").write_bytes(packed[:-12])
    with pytest.raises(HeadstartError, match="damaged"):
        read_vectors(tmp_path / "vectors.txt.gz")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\x00 \x80 x\nb c d\n", "line 1 is not a word and 2 numbers"),
        (b"word\n", "line 1 is not a word"),
        (b"\n", "line 1 is not a word"),
        (b"word 0.5\n 0.5\n", "line 2 is not a word and 1 numbers"),
        (b"99999999999 99999\n\xff\x00\x01 x", "announces 99,999,999,999 words"),
    ],
)
def test_files_that_are_no_vectors(tmp_path, content, said) -> None:
    (tmp_path / "vectors").write_bytes(content)
    with pytest.raises(HeadstartError, match=said):
        read_vectors(tmp_path / "vectors")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf2 2\nthe 1 2\nof 3 4\n",
        b"\xef\xbb\xbfthe 1 2\nof 3 4\n",
        b"the\t1\t2\nof\t3\t4\n",
        b"2 2\nthe\t1 2\nof\t3 4\n",
        b"the  1  2\r\nof  3  4\r\n\r\n",
        b"3 2\nthe 1 2\nof 3 4\nthe 5 6\n",
        b"the 1 2\nof 3 4\nof 5 6\n",
    ],
    ids=["mark with head", "mark", "tabs", "a tab", "blanks", "twice with head", "twice"],
)
def test_files_as_people_write_them(tmp_path, content, caplog) -> None:
    """gensim takes the first of a word that is there twice, too."""
    (tmp_path / "file").write_bytes(content)
    found = read_vectors(tmp_path / "file")
    assert {word: found.vector(word).tolist() for word in found.words} == {"the": [1, 2], "of": [3, 4]}
    assert ("1 words twice" in caplog.text) == (b"5 6" in content)


def test_a_first_word_with_a_blank_and_one_number_are_text(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"2 2\nNew York 1 2\nof 3 4\n")
    assert read_vectors(tmp_path / "file").words == ["New York", "of"]
    (tmp_path / "file").write_bytes(b"2 1\nthe 1\nof 3\n")
    assert read_vectors(tmp_path / "file").matrix.tolist() == [[1], [3]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"the 1 2\nof nan 4\n", "the vector of 'of' holds NaN or infinity"),
        (b"2 2\nthe 1 1e99\nof 3 4\n", "the vector of 'the' holds NaN or infinity"),
        (b"PK\x03\x04" + bytes(50), "zip archive; unpack it"),
        (b"BZh91AY" + bytes(50), "packed by bzip2"),
        (b"\xba\x16\x4f\x2f\x0c" + bytes(50), r"a model of fastText; give the \.vec file"),
    ],
)
def test_what_holds_no_usable_vectors_is_said(tmp_path, content, said) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(HeadstartError, match=said):
        read_vectors(tmp_path / "file")

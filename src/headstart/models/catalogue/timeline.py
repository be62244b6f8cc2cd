"""How the field came here: one line a model, with its source, and what its makers keep to themselves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Milestone:
    """A model that changed what came after it."""

    date: str
    """Year, and month where two of a year have an order: that of the first publication."""
    name: str
    brought: str
    source: str


TIMELINE = (
    Milestone(
        "2013-01",
        "Word2Vec",
        "word vectors learned from plain text by predicting neighbours",
        "Mikolov et al., arXiv 1301.3781",
    ),
    Milestone(
        "2014-10",
        "GloVe",
        "word vectors fitted to co-occurrence counts of the whole corpus",
        "Pennington et al., EMNLP 2014",
    ),
    Milestone(
        "2017-06",
        "Transformer",
        "attention alone, without recurrence: all positions computed at once",
        "Vaswani et al., arXiv 1706.03762",
    ),
    Milestone(
        "2018-02",
        "ELMo",
        "a word's vector depends on its sentence: two LSTM language models, one each way",
        "Peters et al., arXiv 1802.05365",
    ),
    Milestone(
        "2018-06",
        "GPT-1",
        "one Transformer decoder, pre-trained on books, fine-tuned for each task",
        "Radford et al. 2018, OpenAI",
    ),
    Milestone(
        "2018-10",
        "BERT",
        "an encoder that sees both sides, trained to fill in masked tokens",
        "Devlin et al., arXiv 1810.04805",
    ),
    Milestone(
        "2019-02",
        "GPT-2",
        "tasks done without any fine-tuning, better the larger the model",
        "Radford et al. 2019, OpenAI",
    ),
    Milestone(
        "2019-07",
        "RoBERTa",
        "BERT's recipe anew: more text, longer training, no next sentence",
        "Liu et al., arXiv 1907.11692",
    ),
    Milestone(
        "2019-10",
        "T5",
        "every task as text in, text out, on an encoder-decoder",
        "Raffel et al., arXiv 1910.10683; JMLR 2020",
    ),
    Milestone(
        "2019-10",
        "BART",
        "an encoder-decoder trained to restore text that was damaged",
        "Lewis et al., arXiv 1910.13461",
    ),
    Milestone(
        "2020-05",
        "GPT-3",
        "175B parameters: a task learned from a few examples in the prompt",
        "Brown et al., arXiv 2005.14165",
    ),
    Milestone(
        "2022-03",
        "Chinchilla",
        "for a given compute, model and data grow together: 20 tokens a parameter",
        "Hoffmann et al., arXiv 2203.15556",
    ),
    Milestone(
        "2023-02",
        "Llama 1",
        "a small model trained for long on public text, its weights for researchers",
        "Touvron et al., arXiv 2302.13971",
    ),
    Milestone(
        "2023-03",
        "GPT-4",
        "images beside text as input; exams at the level of good candidates",
        "OpenAI, arXiv 2303.08774",
    ),
    Milestone(
        "2023-07",
        "Llama 2",
        "weights for commercial use too, twice the context, grouped queries at 70B",
        "Touvron et al., arXiv 2307.09288",
    ),
    Milestone(
        "2024-04",
        "Llama 3",
        "15T tokens, a vocabulary of 128K, grouped queries throughout; 405B in July",
        "Dubey et al., arXiv 2407.21783",
    ),
)


@dataclass(frozen=True)
class Undisclosed:
    """A model whose makers publish neither architecture nor size nor data."""

    name: str
    year: int
    source: str
    estimates: str
    """What others guess, and who; never a figure to compute with."""


UNDISCLOSED = (
    Undisclosed(
        "GPT-4",
        2023,
        "OpenAI, arXiv 2303.08774, section 2: no architecture, model size, data or compute is given",
        "about 1.8T parameters and 13T tokens by press reports of 2023, never confirmed",
    ),
)


def milestone(name: str) -> Milestone:
    """The milestone of that name."""
    return next(entry for entry in TIMELINE if entry.name == name)

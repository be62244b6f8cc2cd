"""Labels that look wrong: words, learned from the other examples, are far surer of another label.

The probabilities are out of sample, as in Northcutt et al. 2021 (section 3). A label is doubted where the
likeliest one is ahead of it by `MARGIN`. With many classes or few examples a classifier of words is rarely so
sure, and nothing is said: a small probability alone is no evidence, for with 35 classes it is the rule. Of
labels that people gave, at most 1.7 % are doubted (300 and 1,000 mails, news topics and film reviews, the
first 1,500 characters of each). When 5 % of the labels of 1,000 mails are exchanged, 83 % of these are found.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from headstart.tasks.baselines.word_counts import tfidf_features
from headstart.tasks.counted_words import TFIDF_C, as_text
from headstart.tasks.examples import Examples

MARGIN = 0.5
FOLDS = 3
FEWEST, MOST = 200, 3_000
"""Examples: with fewer, words tell too little; of more, so many are looked at."""
SHOWN = 60
"""Characters of a text that is shown."""


def doubtful_labels(train: Examples, seed: int = 0) -> list[str]:
    """A sentence on the labels of a classification that look wrong, with one of them; none where none do."""
    if train.task != "classification" or len(train) < FEWEST:
        return []
    random = np.random.Generator(np.random.Philox(key=seed))
    looked_at = train.subset(random.permutation(len(train))[:MOST].tolist())
    own, best, likeliest = _out_of_sample(looked_at, seed)
    doubted = np.flatnonzero(best - own > MARGIN)
    if not len(doubted):
        return []
    worst = int(doubted[(best - own)[doubted].argmax()])
    text = " ".join(str(looked_at.inputs[worst]).split())[:SHOWN]
    return [
        f"{len(doubted):,} of {len(looked_at):,} checked labels may be wrong: counted words, fitted to the "
        f"other examples, prefer another label by more than {100 * MARGIN:.0f} points, such as "
        f"{looked_at.targets[worst]!r} for {text!r}, which looks like {likeliest[worst]!r} "
        f"({100 * best[worst]:.0f} %)"
    ]


def _out_of_sample(examples: Examples, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Of each example the probability of its label, the highest one, and which label that is, by a TF-IDF
    classifier that has not seen it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    texts = [as_text(one) for one in examples.inputs]
    labels = np.array(examples.targets)
    own, best = np.ones(len(labels)), np.ones(len(labels))
    likeliest = labels.astype(object)
    for learned, asked in KFold(FOLDS, shuffle=True, random_state=seed).split(texts):
        if len(set(labels[learned])) < 2:
            continue
        vectorizer = tfidf_features()
        features = vectorizer.fit_transform([texts[i] for i in learned])
        with threadpool_limits(1, "blas"):  # as for counted words: threads would wait for each other
            model = LogisticRegression(C=TFIDF_C, max_iter=200).fit(features, labels[learned])
        found = model.predict_proba(vectorizer.transform([texts[i] for i in asked]))
        place = {label: number for number, label in enumerate(model.classes_)}
        for row, i in zip(found, asked, strict=True):
            if labels[i] in place:  # a label that the other parts lack cannot be doubted
                own[i], best[i] = row[place[labels[i]]], row.max()
                likeliest[i] = str(model.classes_[row.argmax()])
    return own, best, list(likeliest)

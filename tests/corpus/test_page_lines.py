"""Lines that are dropped from web pages."""

import pytest

from headstart.corpus.extract.page_lines import Lines, drop_lines

NOTHING = Lines(notices=False, citations=False)


def test_notices_and_citations_go_by_default() -> None:
    text = "A fact.[12]\nPlease enable JavaScript.\nWe use cookies.\nMore [see there]."
    kept, share = drop_lines(text, Lines())
    assert kept == "A fact.\nMore [see there]."
    assert share == pytest.approx(6 / 11)
    assert drop_lines(text, NOTHING) == (text, 0.0)


@pytest.mark.parametrize(
    "line",
    [
        "Home",
        "WELCOME TO OUR SHOP",
        "3 likes",
        "1.2K Followers".lower(),
        "2 021",
        "3 items in cart",
        "Read more...",
    ],
)
def test_lines_of_an_interface_go(line: str) -> None:
    text = f"The first paragraph of a page.\n{line}\nThe second one."
    kept, share = drop_lines(text, NOTHING.model_copy(update={"interface": True}))
    assert kept == "The first paragraph of a page.\nThe second one."
    assert 0 < share < 0.5


def test_c4_keeps_sentences_of_three_words() -> None:
    c4 = Lines(unpunctuated=True, min_words=3, max_word_characters=1000)
    long_word = "x" * 1001
    text = f"A whole sentence.\n\nNo sentence at all\nToo short.\nAnd so on...\nHe said {long_word}."
    assert drop_lines(text, c4)[0] == "A whole sentence."
    assert drop_lines('He said so.\n\nAnd "so it ended."', c4) == ('He said so.\n\nAnd "so it ended."', 0.0)


@pytest.mark.parametrize(
    "line",
    [
        "x = a[0] and arr[12] is the last",
        "    total += row[3]",
        "total = row[3];",
        "set row[12] = 5 in the table",
        "print(row[12])",
        "len(row[2], row[3]) is wrong",
        "use my_row[3] here",
        "row[1].name is a field",
        "mean(x, row[12], row[13]) of all",
        "the manual of git-config[1])",
    ],
)
def test_an_element_of_a_program_is_no_citation(line: str) -> None:
    assert drop_lines(line, Lines())[0] == line


def test_citations_go_from_sentences() -> None:
    text = "He said so.[12][13] It was late,[4] and [citation needed] he left[5]."
    assert drop_lines(text, Lines())[0] == "He said so. It was late, and  he left."
    # One mark that may be an element keeps no others.
    text = "Anna (born in 1950[3]) wrote it.[4] It was late[5] (or early).[6]"
    assert drop_lines(text, Lines())[0] == "Anna (born in 1950[3]) wrote it. It was late (or early)."


def test_a_long_rule_beside_a_citation_is_read_once() -> None:
    assert drop_lines("so[12] " + "_" * 300_000, Lines())[0] == "so " + "_" * 300_000

"""Characters as browsers read them: labels, order, and one damaged character that costs itself alone."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.corpus.readers.charsets import CODECS, codec_of, decode

RUSSIAN = "Вчера в городе открылась новая библиотека, и жители пришли посмотреть на книги и карты. "
JAPANESE = "昨日、町に新しい図書館が開館した。①番目の部屋には㈱山田の寄贈した地図がある。"


def test_every_label_has_a_codec() -> None:
    assert len(CODECS) > 215
    for codec in set(CODECS.values()):
        codecs.lookup(codec)
    assert codec_of(' "Latin1" ') == codec_of("us-ascii") == "cp1252"
    assert codec_of("x-unknown") is None


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("gb2312", "gbk", "昨天城里新开了一座图书馆，朱镕基、陶喆等人的著作也在其中。"),
        ("iso-8859-1", "cp1252", "“Smart quotes” — and the reader’s café cost €5 …"),
        ("us-ascii", "cp1252", "“Smart quotes”"),
        ("shift_jis", "cp932", JAPANESE),
        ("iso-2022-jp", "iso2022_jp", "昨日、町に新しい図書館が開館した。"),
        ("euc-kr", "cp949", "똠방각하와 펲시콜라를 썼다."),
        ("iso-8859-9", "cp1254", "İstanbul’da “güzel” bir gün"),
        ("tis-620", "cp874", "ภาษาไทย “คำ”"),
        ("big5", "big5hkscs", "昨天，鎮上新開了一座圖書館。"),
        ("koi8-r", "koi8_r", RUSSIAN),
    ],
)
def test_a_label_means_the_set_in_use_under_it(label: str, codec: str, text: str) -> None:
    assert decode(text.encode(codec), label) == (text, False)


@pytest.mark.parametrize(
    "head",
    [
        '<meta charset="windows-1251">',
        "<META content='text/html; charset=windows-1251' http-equiv=Content-Type>",
        '<?xml version="1.0" encoding="windows-1251"?><html>',
        '<script>var x = "<meta charset=utf-8>"</script><meta charset=windows-1251>',
        "<!-- <meta charset=koi8-r> --><meta charset=windows-1251>",
        "<!--><meta charset=windows-1251>",
        "<meta charset=windows-1251/>",
        "<meta name=description content='how charset=koi8-r broke'><meta charset=windows-1251>",
        '<?xml version="1.0" encoding="nobody-knows"?><html><meta charset="windows-1251">',
    ],
)
def test_what_a_page_says_of_itself(head: str) -> None:
    text = head + "Книги"
    assert decode(text.encode("cp1251")) == (text, False)


def test_order() -> None:
    assert decode(codecs.BOM_UTF16_LE + RUSSIAN.encode("utf-16-le"), "koi8-r")[0] == RUSSIAN
    assert decode(codecs.BOM_UTF8 + b"abc", "utf-16") == ("abc", True)
    page = f'<meta charset="koi8-r">{RUSSIAN}'
    assert decode(page.encode("cp1251"), "windows-1251")[0] == page  # the header before the page
    assert decode(page.encode(), "windows-1251")[0] == page  # and what is UTF-8 before both
    assert decode((RUSSIAN * 3).encode("cp1251"))[0] == RUSSIAN * 3  # a guess
    # A tag that could be read is in no charset of two bytes a letter.
    assert "reader’s" in decode("<meta charset=utf-16>the reader’s café”".encode("cp1252"))[0]


KOREAN = "책은 창가의 책상 위에 있고 아이들이 읽습니다."
UKRAINIAN = "Книги лежать на столі біля вікна, і діти читають їх"


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Книги лежат на столе у окна, и дети читают их", "cp1251"),
        ("КНИГИ ЛЕЖАТ НА СТОЛЕ У ОКНА. " + RUSSIAN, "mac_cyrillic"),
        (UKRAINIAN, "koi8_u"),
        (KOREAN, "cp949"),
        ("本は窓のそばの机の上にあります。子供たちが読んでいます。", "euc_jp"),
        ("„A könyvek az asztalon vannak, az ablak mellett” – őrült fűző", "cp1250"),
        ("«Τα βιβλία είναι στο τραπέζι, δίπλα στο παράθυρο» – λέει ο Ἄ".replace("Ἄ", "Άρης"), "cp1253"),
    ],
)
def test_a_guess_where_nothing_says_the_charset(text: str, codec: str) -> None:
    assert decode(f"<html><body><p>{text}</p>".encode(codec))[0] == f"<html><body><p>{text}</p>"


@given(st.integers(0, len(RUSSIAN.encode()) - 1), st.sampled_from([b"\xff", b"\xc3", b"\x80"]))
def test_one_bad_byte_costs_one_character_of_utf8(place: int, byte: bytes) -> None:
    payload = bytearray(RUSSIAN.encode())
    payload[place : place + 1] = byte
    text, valid = decode(bytes(payload), "windows-1252")
    kept = sum(a == b for a, b in zip(text, RUSSIAN, strict=False))
    behind = sum(a == b for a, b in zip(reversed(text), reversed(RUSSIAN), strict=False))
    assert max(kept, behind) >= len(RUSSIAN) // 2 - 2
    assert text.count("\ufffd") <= 2
    assert not valid or "\ufffd" not in text


@given(st.integers(0, len(JAPANESE) - 1), st.sampled_from(["cp932", "euc_jis_2004", "cp949", "gb18030"]))
def test_one_bad_byte_eats_no_letter_behind_it(place: int, codec: str) -> None:
    text = "ab" * place
    payload = text.encode(codec) + b"\x81" + b"<p>" + b"cd"
    label = {"cp932": "sjis", "euc_jis_2004": "euc-jp", "cp949": "euc-kr", "gb18030": "gbk"}[codec]
    assert decode(payload, label)[0].endswith("<p>cd")


def test_a_page_that_the_crawler_cut_inside_a_character() -> None:
    text, _ = decode(f"<meta charset=utf-8>{RUSSIAN}".encode()[:-3], "iso-8859-1")
    assert RUSSIAN[:-3] in text


@pytest.mark.parametrize(
    ("label", "content", "text"),
    [
        ("euc-jp", b"\xad\xa1\xad\xea\xfc\xe2\xa1\xc1\xa1\xdd", "①㈱髙～－"),  # rows 13 and 92
        ("euc-jp", b"\x8f\xb0\xa1\xa4\xa2a\x8e\xb1", "丂あaｱ"),  # JIS X 0212, half a width
        ("euc-jp", b"\xa4\xa2\xff\xa4a\xa4\xa4", "あ\ufffd\ufffdaい"),
        ("iso-2022-jp", b"\x1b$B-!-j\x1b(Ba\x1b(J\\\x1b(I66", "①㈱a¥ｶｶ"),
        ("iso-2022-jp", b'\x1b$B$"\n$$\x1b(B', "あ\nい"),
        ("iso-2022-kr", b"\x1b$)C\x0e>H3g\x0f", "안녕"),
        ("hz-gb-2312", b"~{<:Ky2;S{~} ab", "己所不欲 ab"),
        ("koi8-u", b"\xae\xbe", "ўЎ"),
        ("gbk", b"\x80 ab", "€ ab"),
        ("gb18030", b"\xa6\xd9\xa8\xbc", "︐ḿ"),  # the edition of 2022
        ("windows-1253", b"\xe1\xaa", "α\ufffd"),
        ("windows-1255", b"\xe5\xca \xd9", "ו\u05ba \ufffd"),
        ("big5", b"\xa1\xe3\xa1E\xa2\x44\xa3\xe1 \x87\xcb", "～‧￥€ 讏"),
        ("big5", b"\x80a\x87\xffb", "\ufffda\ufffd\ufffdb"),
        ("gbk", b"\xa3\xa0", "\u3000"),
        ("shift_jis", b"\xfd\xa0", "\ufffd\ufffd"),
        ("x-user-defined", b"\x93hi\x94", "“hi”"),
        ("utf-16le", RUSSIAN.encode("utf-16-le"), RUSSIAN),
        ("utf-16be", b"".join(bytes([0, sign]) for sign in b"plain English"), "plain English"),
        ("utf-16", b"plain English with a \0 in it", "plain English with a \0 in it"),
        (None, "<p>plain English</p>".encode("utf-16-le"), "<p>plain English</p>"),
    ],
)
def test_where_codecs_differ_from_the_standard(label: str | None, content: bytes, text: str) -> None:
    assert decode(content, label)[0] == text


@given(st.binary(max_size=60), st.sampled_from(["euc-jp", "iso-2022-jp", "hz-gb-2312", "iso-2022-kr"]))
def test_any_bytes_are_text(content: bytes, label: str) -> None:
    assert isinstance(decode(content + b"\x1b$B~{", label)[0], str)


@given(st.text(st.sampled_from("あ亜髙①ｱa\n漢字カナ"), max_size=30))
def test_japanese_comes_back(text: str) -> None:
    plain = "".join(sign for sign in text if sign not in "髙①ｱ")
    assert decode(plain.encode("euc_jp"), "euc-jp")[0] == plain
    assert decode(plain.encode("iso2022_jp"), "iso-2022-jp")[0] == plain

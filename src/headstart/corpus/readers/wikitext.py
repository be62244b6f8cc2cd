"""Plain text from wikitext, the markup of MediaWiki: what a reader would read of an article.

Templates, tables, references and pictures go, for what they show is not in the page itself; links keep their
words, headings, paragraphs and lists their lines. See mediawiki.org/wiki/Help:Formatting.
"""

import html
import re

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# Elements that go with their content.
_GONE = (
    "ref|math|chem|gallery|timeline|imagemap|score|syntaxhighlight|source|templatestyles|hiero|graph|mapframe"
)
_ELEMENT = re.compile(rf"<(/?)({_GONE})\b[^<>]*?(/?)>", re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_BRACES = re.compile(r"\{\{|\}\}|\{\||\|\}")
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")
_ADDRESS = re.compile(r"\[(?:https?:|ftp:)?//[^\s\[\]]+(?:\s+([^\[\]]*))?\]")
_QUOTES = re.compile(r"'{2,5}")
_ITEM = re.compile(r"^([*#:;]+)\s*", re.MULTILINE)
_SWITCH = re.compile(r"__[A-Z]+__")
_LEFT_EMPTY = re.compile(r"\(\s{0,9}[;,]?\s{0,9}\)")


def plain_text(wikitext: str) -> str:
    """The words of an article, one paragraph, heading or list item a line."""
    text = _COMMENT.sub("", wikitext)
    text = _without_elements(text)
    text = _without_braces(text)
    # From the innermost link out: a picture's caption holds links itself.
    for _ in range(8):
        text, found = _LINK.subn(_words_of_link, text)
        if not found:
            break
    text = _ADDRESS.sub(lambda match: match[1] or "", text)
    text = _TAG.sub("", _BREAK.sub("\n", text))
    text = _SWITCH.sub("", _QUOTES.sub("", text))
    text = _ITEM.sub(lambda match: "- " if match[1][-1] in "*#" else "", text)
    text = html.unescape(text).replace("\u00a0", " ")
    text = _LEFT_EMPTY.sub("", text)
    lines = [_line(line.strip()) for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line for line in lines if line != "-")).strip()


def _line(line: str) -> str:
    """A line, and of a heading `== Life ==` its words."""
    return line.strip("= ") if line[:1] == line[-1:] == "=" else line


def _without_elements(text: str) -> str:
    """The text without elements that go with their content; one that is never closed stays."""
    kept: list[str] = []
    inside: str | None = None
    at = 0
    tags = list(_ELEMENT.finditer(text))
    last_closing = {match[2].lower(): place for place, match in enumerate(tags) if match[1]}
    for place, match in enumerate(tags):
        closing, name, empty = match[1], match[2].lower(), match[3]
        if inside is None:
            kept.append(text[at : match.start()])
            at = match.end()
            if not closing and not empty and last_closing.get(name, -1) > place:
                inside = name
        elif closing and name == inside:
            inside, at = None, match.end()
    kept.append(text[at:])
    return "".join(kept)


def _without_braces(text: str) -> str:
    """The text without templates `{{…}}` and tables `{|…|}`, however they nest; one that never ends stays."""
    kept: list[str] = []
    open_at: list[tuple[str, int]] = []  # what closes each open pair, and where in `kept` it began
    at = 0
    for match in _BRACES.finditer(text):
        kept.append(text[at : match.start()])
        at = match.end()
        sign = match[0]
        if sign in ("{{", "{|"):
            open_at.append(("}}" if sign == "{{" else "|}", len(kept)))
            kept.append(sign)
        elif open_at and open_at[-1][0] == sign:
            del kept[open_at.pop()[1] :]
        else:
            kept.append(sign)
    kept.append(text[at:])
    return "".join(kept)


def _words_of_link(match: re.Match[str]) -> str:
    """`[[target|words]]` and `[[target]]`; nothing of pictures, categories and other languages' pages."""
    target, _, words = match[1].partition("|")
    namespace, colon, _ = target.partition(":")
    if colon and not target.startswith(":") and " " not in namespace and namespace[:1].isalpha():
        return ""
    return words.rpartition("|")[2] if words else target.lstrip(":")

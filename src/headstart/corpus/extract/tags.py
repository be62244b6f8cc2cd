"""A page cut into tags and text by one regular expression, which reads every character once.

Elements whose content is nothing to read, as scripts, are cut out whole, and so are comments.
"""

import re

# Elements whose content is nothing to read. It ends at the end tag or, where there is none, with the page;
# of media, which many pages never end, with what holds them.
# fmt: off
_UNREAD = [
    "script", "style", "svg", "noscript", "template", "iframe", "textarea", "select", "object", "video",
    "audio", "canvas",
]
# fmt: on
_MEDIA = ("object", "video", "audio", "canvas")
_BEHIND_MEDIA = r"(?i:/(?:p|div|section|article|main|body|td|li|figure)|figcaption)(?=[\s/>])"


def _caseless(name: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" for letter in name)


def _unread(name: str) -> str:
    end = rf"/{_caseless(name)}(?=[\s/>])"
    shown = "(?![^>]*shadowroot)" if name == "template" else ""  # a shadow root is shown
    stop = rf"|{_BEHIND_MEDIA}" if name in _MEDIA else ""
    content = rf"[^<]*+(?:<(?!{end}{stop})[^<]*+)*(?:<{end}[^>]*+>?)?"
    if name == "svg":  # of no HTML, so that a slash ends it
        content = rf"(?:[^>]*+(?<=/)>|{content})"
    return rf"{_caseless(name)}(?=[\s/>]){shown}{content}"


# A tag; its groups are its name and its attributes, in which a quoted value may hold '>'. No part is read
# again and again: single characters are repeated possessively, and what follows a repeated group may be
# missing, so that nothing fails behind it. (Groups are not possessive: Python before 3.11.5 errs there.)
# For speed alone, only names with the first letter of an unread one are compared with these, and attributes
# are first tried as nearly all pages write them.
PIECES = re.compile(
    "<(?:"
    + f"(?=[{''.join(sorted({case(name[0]) for name in _UNREAD for case in (str.lower, str.upper)}))}])"
    + f"(?:{'|'.join(map(_unread, _UNREAD))})"
    + r"|!--(?:-?+>|[^-]*+(?:-(?!-!?>)[^-]*+)*(?:--!?>)?)"
    + r"|[!?][^>]*+>?"
    + r"|(/?[a-zA-Z][^\s/>]*+)(?:>|("
    + r"[^>=]*+(?:=\"[^\"]*+\"[^>=]*+)*"
    + r"(?:=(?:\s*+(?:\"[^\"]*+\"?|'[^']*+'?))?[^>=]*+)*)>?)"
    + r"|/[^>]*+>?)"
)

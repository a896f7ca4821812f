"""Whether a text is English, as far as that can be told without a model.

Two signs, both of which must be there. Its letters are Latin ones, or of a script that the text it
is about has. And, unless it is very short, enough of its words are English function words (the
small-word method of Grefenstette 1995, "Comparing two language identification schemes", for one
language); words in quotation marks do not count, they may be of any language.
"""

from __future__ import annotations

import re
import unicodedata

from rllr.teacher.lexicon import words_of

# Frequent in English and, in this spelling, in no other language with the same letters (so not: a,
# in, is, on, an, or, so, was, me, as, no).
FUNCTION_WORDS = frozenset(
    words_of(
        """
        the and of to that this these those which who with without for from by at both but not
        because since while about into than then there it its are were be been being has have had
        does did can cannot could would should will may might they their them his her he she you
        your what when where how why if each other same such more most very only also just any some
        all
        """
    )
)
QUOTED = re.compile(r"\"[^\"]*\"|\u201c[^\u201d]*\u201d|(?<!\w)['\u2018][^'\u2019]*['\u2019](?!\w)")
LEAST_SHARE = 0.12
# Shorter texts may well be English without a function word.
FEWEST_WORDS = 6
MOST_FOREIGN = 0.1


def is_english(text: str, about: str) -> bool:
    """Whether `text` reads as English prose about `about`."""
    return not _foreign_letters(text, about) and _has_function_words(text)


def _foreign_letters(text: str, about: str) -> bool:
    """Whether more than a few letters are neither Latin nor of a script in `about`."""
    letters = [c for c in text if c.isalpha()]
    others = [c for c in letters if not c.isascii()]
    known = {"LATIN", *(_script(c) for c in set(about) if c.isalpha() and not c.isascii())}
    foreign = sum(_script(c) not in known for c in others)
    return foreign > MOST_FOREIGN * len(letters)


def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").split()[0]


def _has_function_words(text: str) -> bool:
    words = words_of(QUOTED.sub(" ", text))
    if len(words) < FEWEST_WORDS:
        return True
    share = sum(word in FUNCTION_WORDS for word in words) / len(words)
    return share >= LEAST_SHARE

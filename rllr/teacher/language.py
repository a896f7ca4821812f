"""Whether a text is English, as far as that can be told without a model.

Two signs, both of which must be there. Its letters are Latin ones, or of a script that the text it
is about has. And, unless it is very short, it has function words of English, and more of them than
of other languages in Latin letters (the small-word method of Grefenstette 1995, "Comparing two
language identification schemes"). Words in quotation marks do not count: they may be of any
language. Of sentences of the paper's eight tasks it takes 99 % for English, of headlines fewer.
"""

from __future__ import annotations

import re
import unicodedata

from rllr.teacher.lexicon import words_of

ENGLISH = frozenset(
    words_of(
        """
        a an the and or of to in on at as is are was were be been being it its this that these those
        which who what when where how why with without for from by about into than then there not
        but because since while if both each other same such more most very only also just so any
        some all no nothing has have had does did can cannot could would should will may might they
        them their he his she her we our you your i my me
        """
    )
)
# German, French, Spanish, Italian, Dutch, Portuguese, Scandinavian and Polish ones that are no
# English words.
OTHERS = frozenset(
    words_of(
        """
        der das und ist nicht mit für auf ein eine einen dem den des im zu weil dass sich auch
        le la les un une du de et est pas que qui dans pour sur avec par ce cette sont parce
        el los las y en por con porque una del se su muy es lo
        il che di non è per sono gli nel della perché
        het een van niet voor dat zijn ook omdat
        os um uma não com em da ao é mais och att det som og ikke av jest nie się jak
        """
    )
)
QUOTED = re.compile(r"\"[^\"]*\"|\u201c[^\u201d]*\u201d|(?<!\w)['\u2018][^'\u2019]*['\u2019](?!\w)")
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
    english, others = (sum(word in those for word in words) for those in (ENGLISH, OTHERS))
    return english > others

"""The vocabulary of the generated tasks: cue words by label, word fields, question words.

Small on purpose, a hundred-odd words: a two-layer model must learn them within a minute. No word
stands in two lists, so that a cue word has one meaning within a task.
"""

SENTIMENT = {
    "negative": ("dull", "weak", "bland", "clumsy", "tedious", "hollow", "stale", "awful"),
    "positive": ("bright", "tender", "witty", "moving", "superb", "clever", "fresh", "lively"),
}

STARS = {
    1: ("crashes", "useless", "scam", "broken"),
    2: ("slow", "buggy", "annoying", "clunky"),
    3: ("okay", "average", "decent", "passable"),
    4: ("handy", "smooth", "useful", "nice"),
    5: ("perfect", "flawless", "amazing", "brilliant"),
}

TOPICS = {
    "World": ("treaty", "embassy", "border", "minister"),
    "Sports": ("coach", "league", "goal", "champion"),
    "Business": ("profit", "shares", "merger", "bank"),
    "Sci/Tech": ("software", "robot", "telescope", "chip"),
}

QUESTIONS = ("how", "why", "when", "where")

# What a sentence of the pair tasks is about: most of its words belong to one of these.
SUBJECTS = (
    ("bird", "cat", "dog", "fish", "horse", "mouse", "rabbit", "tiger"),
    ("bread", "cup", "milk", "plate", "spoon", "apple", "butter", "soup"),
    ("field", "forest", "hill", "island", "lake", "park", "path", "river"),
    ("chair", "clock", "desk", "door", "lamp", "piano", "shelf", "table"),
)

CONTENT = tuple(word for words in SUBJECTS for word in words)

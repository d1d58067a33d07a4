"""CheckList for sentiment: templates whose class nobody doubts, for negation, sarcasm, coreference, names and order.

After Ribeiro et al., Beyond accuracy: behavioral testing of NLP models with CheckList, ACL 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

from uncork.schema.behaviour import Behaviour

NEGATIVE = ("negative", "neg", "bad")
POSITIVE = ("positive", "pos", "good")

GOOD = ("good", "great", "wonderful", "charming", "brilliant", "delightful")
BAD = ("bad", "horrible", "terrible", "boring", "dreadful", "tedious")
THING = ("film", "story", "acting", "script")
NAMES = ("Mary", "John", "Fatima", "Wei", "Priya", "Diego", "Olga", "Kwame")
PLACES = ("Paris", "Lagos", "Chicago", "Mumbai", "Lima", "Oslo")

PLAIN = (
    "The {thing} is {word}.",
    "What a {word} {thing}!",
    "I found the {thing} {word}.",
    "It has a {word} {thing}.",
    "The {thing} was {word} from start to end.",
    "Everybody said that the {thing} was {word}, and it was.",
    "I would call the {thing} {word}.",
    "A {word} {thing}, I think.",
)
NEGATED = (
    "The {thing} is not {good}.",
    "The {thing} isn't {good}.",
    "I can't say that the {thing} is {good}.",
    "It does not have a {good} {thing}.",
    "Nobody would call the {thing} {good}.",
    "I don't think that the {thing} is {good}.",
    "I expected a {good} {thing}, and it was not.",
    "The {thing} was never {good}.",
    "There is nothing {good} about the {thing}.",
    "The {thing} was hardly {good}.",
)
SARCASM = (
    "Oh {good}, two more hours of my life that I won't get back.",
    "How {good}: I fell asleep in ten minutes.",
    "Yes, {good}, if you like watching paint dry.",
    "A {good} {thing} for people who hate themselves.",
    "{good}? My dentist is more fun.",
    "So {good} that half of the audience walked out.",
)
#: What is said last, or of the thing meant, counts.
COREFERENCE_BAD = (
    "The music was {good} and the {thing} was {bad}, and I only care about the latter.",
    "The {thing} was {bad} and the music was {good}, and I only care about the former.",
    "People say that the {thing} is {good}; they are wrong, it is {bad}.",
    "My brother, unlike me, found the {thing} {good}; to me it was {bad}.",
    "I used to find the {thing} {good}, but now it is just {bad} to me.",
)
COREFERENCE_GOOD = (
    "The music was {bad} and the {thing} was {good}, and I only care about the latter.",
    "The {thing} was {good} and the music was {bad}, and I only care about the former.",
    "People say that the {thing} is {bad}; they are wrong, it is {good}.",
    "My brother, unlike me, found the {thing} {bad}; to me it was {good}.",
    "I used to find the {thing} {bad}, but now it is just {good} to me.",
)
NAMED = (
    "{name} plays in it, and the {thing} is {word}.",
    "I saw it with {name}. The {thing} is {word}.",
    "The {thing} by {name} was {word}.",
    "{name} told me that the {thing} was {word}, and it was.",
)
PLACED = (
    "It is set in {place}, and the {thing} is {word}.",
    "We saw it in {place}; the {thing} was {word}.",
    "The part in {place} has a {word} {thing}.",
    "A {word} {thing} from {place}.",
)


def sentiment(negative: str = "negative", positive: str = "positive") -> list[Behaviour]:
    """The behaviours of a classifier of sentiment in English, with the names of its two classes."""

    def of(name: str, templates: Sequence[str], expected: str, **slots: Sequence[str]) -> Behaviour:
        return Behaviour(name, templates=templates, expected=expected, slots={"thing": THING, **slots})

    def alike(name: str, templates: Sequence[str], varied: str, values: Sequence[str]) -> Behaviour:
        slots = {"thing": THING, "word": (*GOOD[:3], *BAD[:3]), varied: values}
        return Behaviour(name, templates=templates, varied=varied, slots=slots)

    return [
        of("plain praise", PLAIN, positive, word=GOOD),
        of("plain blame", PLAIN, negative, word=BAD),
        of("praise negated", NEGATED, negative, good=GOOD),
        of("sarcasm", SARCASM, negative, good=GOOD),
        of("coreference, blame", COREFERENCE_BAD, negative, good=GOOD[:3], bad=BAD[:3]),
        of("coreference, praise", COREFERENCE_GOOD, positive, good=GOOD[:3], bad=BAD[:3]),
        alike("another person's name", NAMED, "name", NAMES),
        alike("another place", PLACED, "place", PLACES),
    ]


def sentiment_classes(classes: Sequence[str]) -> tuple[str, str] | None:
    """(negative, positive) where the two classes are named so; None of others."""
    named = {name.lower(): name for name in classes}
    negative = next((named[n] for n in NEGATIVE if n in named), None)
    positive = next((named[n] for n in POSITIVE if n in named), None)
    return (negative, positive) if len(classes) == 2 and negative and positive else None

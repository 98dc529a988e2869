"""Small labeled documents, made here."""

import random

from shared.domain.labels import Example, Span

TOPICS = {
    "billing": ("invoice", "payment", "refund", "charged", "card", "price"),
    "delivery": ("parcel", "courier", "shipping", "late", "address", "tracking"),
    "account": ("password", "login", "email", "profile", "locked", "username"),
}
NAMES = ("Anna", "Boris", "Chidi", "Dora", "Emre", "Farid", "Greta", "Hugo")
PLACES = ("Berlin", "Lagos", "Oslo", "Quito", "Riga", "Seoul", "Tunis", "Utrecht")


def single(count: int, seed: int = 0) -> list[Example]:
    draw = random.Random(seed)
    names = list(TOPICS)
    return [_about([names[number % 3]], draw) for number in range(count)]


def multi(count: int, seed: int = 0) -> list[Example]:
    draw = random.Random(seed)
    return [_about(draw.sample(list(TOPICS), number % 3), draw) for number in range(count)]


def entities(count: int, seed: int = 0) -> list[Example]:
    draw = random.Random(seed)
    return [_letter(draw) for _ in range(count)]


def _about(topics: list[str], draw: random.Random) -> Example:
    words = [word for topic in topics for word in draw.sample(TOPICS[topic], 3)]
    text = f"Hello, {draw.choice(NAMES)} here: {' and '.join(words or ['nothing', 'thanks'])}."
    return Example(text, "en", tuple(sorted(topics)))


def _letter(draw: random.Random) -> Example:
    """Some begin with an emoji or a line break: offsets must count code points."""
    name, place = draw.choice(NAMES), draw.choice(PLACES)
    start = draw.choice(("", "😀 ", "\r\n", "שלום, "))
    text = f"{start}My friend {name} lives in {place}.\r\nIt is cold there."
    person = Span("person", text.index(name), len(name))
    return Example(text, "en", (), (person, Span("place", text.index(place), len(place))))

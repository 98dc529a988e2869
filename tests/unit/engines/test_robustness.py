"""Labels and texts as they should not be, and languages of all kinds: a model, sane confidences, real places."""

import random
from collections.abc import Sequence

import pytest

from shared.domain.labels import Example, Prediction, Span
from shared.domain.names import ProjectKind
from shared.engines import Engines, local_engines
from shared.engines.embedded import tagger_training, tfidf
from shared.engines.embedded.engine import EmbeddedEngine
from shared.engines.embedded.tagger_training import depth, within
from tests.unit.engines import examples

KINDS = list(ProjectKind)
CLASSES = (ProjectKind.SINGLE_LABEL, ProjectKind.MULTI_LABEL)
MAKE = dict(zip(KINDS, (examples.single, examples.multi, examples.entities), strict=False))

# Sentences about a payment, about a parcel; and a sentence around a name, with names.
LANGUAGES = {
    "zh": (
        ("我的付款被收取了两次", "请退还这笔付款", "信用卡付款失败"),
        ("包裹还没有送到", "快递员弄丢了包裹", "包裹送错了地址"),
        "昨天{}去了学校。",
        ("王小明", "李雷", "韩梅梅"),
    ),
    "ja": (
        ("支払いが二回請求されました", "この支払いを返金してください", "カードの支払いに失敗した"),
        ("荷物がまだ届きません", "配達員が荷物をなくした", "荷物が違う住所に届いた"),
        "昨日{}さんは東京に行った。",
        ("田中", "佐藤", "鈴木"),
    ),
    "ar": (
        ("تم خصم الدفع مرتين", "أرجو إعادة الدفع", "فشل الدفع بالبطاقة"),
        ("الطرد لم يصل بعد", "فقد الساعي الطرد", "وصل الطرد إلى عنوان خاطئ"),
        "ذهب {} إلى المدرسة أمس.",
        ("أحمد", "محمود", "يوسف"),
    ),
    "hi": (
        ("भुगतान दो बार काटा गया", "कृपया भुगतान वापस करें", "कार्ड से भुगतान विफल हुआ"),
        ("पार्सल अभी तक नहीं आया", "कूरियर ने पार्सल खो दिया", "पार्सल गलत पते पर पहुँचा"),
        "कल {} स्कूल गया था।",
        ("राहुल", "अमित", "विकास"),
    ),
    "th": (
        ("ชำระเงินซ้ำสองครั้ง", "ขอคืนเงินที่ชำระเงินไป", "ชำระเงินด้วยบัตรไม่สำเร็จ"),
        ("พัสดุยังไม่มาถึง", "คนส่งทำพัสดุหาย", "พัสดุส่งผิดที่อยู่"),
        "เมื่อวาน{}ไปโรงเรียน",
        ("สมชาย", "สมหญิง", "วิชัย"),
    ),
    "emoji": (
        ("💳💸 twice", "💸 back please", "💳 💸 failed"),
        ("📦🚚 late", "🚚 lost 📦", "📦 wrong 🏠"),
        "😀 {} 🏫!",
        ("Zoë", "👩‍🚀", "Żółć"),
    ),
}


async def _fitted(kind: ProjectKind, labeled: list[Example], unlabeled: Sequence[str] = ()):
    engine = Engines(local_engines()).get("embedded")
    return await engine.load(await engine.fit(kind, labeled, unlabeled=unlabeled))


def _sane(texts: list[str], predicted: list[list[Prediction]]) -> bool:
    return len(texts) == len(predicted) and all(
        0 <= p.confidence <= 1
        and (p.offset is None or 0 <= p.offset < p.offset + (p.length or 0) <= len(text))
        for text, found in zip(texts, predicted, strict=True)
        for p in found
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", CLASSES)
async def test_classes_are_learned_in_every_language(kind: ProjectKind, language: str):
    payment, parcel, _, _ = LANGUAGES[language]
    labeled = [Example(text, language, ("payment",)) for text in payment[:2]]
    labeled += [Example(text, language, ("parcel",)) for text in parcel[:2]]
    model = await _fitted(kind, labeled * 3)
    predicted = await model.predict([payment[2], parcel[2]])
    assert [found[0].category for found in predicted] == ["payment", "parcel"]
    assert _sane([payment[2], parcel[2]], predicted)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_names_are_found_in_every_language(language: str):
    _, _, frame, names = LANGUAGES[language]
    labeled = [
        Example(frame.format(name), language, (), (Span("person", frame.index("{"), len(name)),))
        for name in names[:2]
    ]
    model = await _fitted(ProjectKind.ENTITIES, labeled * 8)
    [found] = await model.predict([frame.format(names[0])])
    assert [(entity.offset, entity.length) for entity in found] == [(frame.index("{"), len(names[0]))]


def test_vowel_signs_stay_in_their_word_and_what_has_no_spaces_is_read_by_character():
    assert list(tfidf.words("नमस्ते दुनिया")) == ["नमस्ते", "दुनिया"]
    assert list(tfidf.words("余额ABC")) == ["余", "额", "abc"]
    assert list(tfidf.words("well... 😀👍🏽 “ok”")) == ["well", "😀", "👍", "🏽", "ok"]
    assert tfidf.tokens("ฉันกินข้าว") == ["ฉันกินข้าว"]


@pytest.mark.parametrize("kind", KINDS)
async def test_two_labels_of_each_category(kind: ProjectKind):
    model = await _fitted(kind, MAKE[kind](6))
    texts = [example.text for example in MAKE[kind](40, seed=3)]
    predicted = await model.predict(texts)
    assert _sane(texts, predicted)
    assert all(prediction.confidence < 0.8 for found in predicted for prediction in found)


async def test_one_class_on_every_document():
    labeled = [Example(example.text, "en", ("all",)) for example in examples.single(40)]
    model = await _fitted(ProjectKind.MULTI_LABEL, labeled)
    texts = [example.text for example in examples.single(10, seed=4)]
    predicted = await model.predict(texts)
    assert [[prediction.category for prediction in found] for found in predicted] == [["all"]] * 10
    assert _sane(texts, predicted)


async def test_a_text_that_is_one_entity_from_end_to_end():
    labeled = [Example(name, "en", (), (Span("name", 0, len(name)),)) for name in examples.NAMES]
    model = await _fitted(ProjectKind.ENTITIES, labeled)
    assert [
        [(entity.offset, entity.length) for entity in found] for found in await model.predict(["Anna"])
    ] == [[(0, 4)]]


@pytest.mark.parametrize("kind", CLASSES)
async def test_a_rare_class_is_still_found(kind: ProjectKind):
    common = [Example(f"Hello there, nothing new in week {n}.", "en", ("common",)) for n in range(198)]
    rare = [Example(f"The reactor is on fire {where}!", "en", ("rare",)) for where in ("again", "now")]
    model = await _fitted(kind, common + rare)
    predicted = await model.predict(
        ["The reactor is on fire today!", "Hello there, nothing new in week 500."]
    )
    assert [found[0].category for found in predicted] == ["rare", "common"]


@pytest.mark.parametrize("kind", KINDS)
async def test_labels_that_say_nothing_give_no_confidence(kind: ProjectKind):
    """The same text with every label, in equal parts."""
    text = "Anna wrote"
    if kind is ProjectKind.ENTITIES:
        given = [((), (Span("a", 0, 4),)), ((), (Span("b", 0, 4),))]
    else:
        given = [(("a",), ()), (("b",), ())]
    model = await _fitted(kind, [Example(text, "en", *given[n % 2]) for n in range(60)])
    [found] = await model.predict([text])
    assert all(0.2 <= prediction.confidence <= 0.75 for prediction in found)


@pytest.mark.parametrize("kind", CLASSES)
async def test_documents_that_have_no_words(kind: ProjectKind):
    labeled = [Example(" " * n, "en", ("ab"[n % 2],)) for n in range(20)]
    model = await _fitted(kind, labeled, unlabeled=["", "\n"])
    texts = ["", "   ", "a word at last"]
    assert _sane(texts, await model.predict(texts))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_text_does_not_depend_on_the_texts_beside_it(kind: ProjectKind):
    model = await _fitted(kind, MAKE[kind](30))
    texts = [example.text for example in MAKE[kind](12, seed=6)]
    together = await model.predict(texts)
    alone = [(await model.predict([text]))[0] for text in reversed(texts)]
    for here, there in zip(together, reversed(alone), strict=True):
        assert [(p.category, p.offset, p.length) for p in here] == [
            (p.category, p.offset, p.length) for p in there
        ]
        assert [p.confidence for p in here] == pytest.approx([p.confidence for p in there], abs=1e-4)


@pytest.mark.parametrize(
    ("sizes", "total", "expected"),
    [([], 10, 0), ([3, 4], 10, 4), ([3, 9], 10, 7), ([5, 5, 5], 10, 3), ([1, 1, 50, 60], 12, 5)],
)
def test_all_are_read_to_the_same_depth(sizes: list[int], total: int, expected: int):
    found = depth(sizes, total)
    assert found == expected
    assert sum(min(size, found) for size in sizes) <= total


def test_documents_are_drawn_when_little_of_each_could_be_read():
    most, drawn = within([100] * 50, 1_000, 80, seed=1)
    assert (most, len(drawn)) == (80, 12)
    assert drawn == sorted(set(drawn)) != list(range(12))
    assert within([100] * 5, 1_000, 80, seed=1) == (100, [0, 1, 2, 3, 4])


async def test_training_on_long_documents_reads_their_heads(monkeypatch: pytest.MonkeyPatch):
    read: list[int] = []
    fit = tagger_training.chain_training.fit
    monkeypatch.setattr(tagger_training, "_MOST_TOKENS", 400)
    monkeypatch.setattr(tagger_training, "_LEAST_TOKENS", 10)
    monkeypatch.setattr(
        tagger_training.chain_training,
        "fit",
        lambda seen, labels, *more: read.append(len(labels)) or fit(seen, labels, *more),
    )
    rest = " and so on." * 100
    labeled = [Example(e.text + rest, "en", (), e.spans) for e in examples.entities(20)]
    engine = EmbeddedEngine(in_thread=(10**9, 10**9))  # in this process, where the limits above hold
    model = await engine.load(await engine.fit(ProjectKind.ENTITIES, labeled))
    assert 300 < max(read) <= 400
    [found] = await model.predict([labeled[0].text])
    assert {Span(p.category, p.offset or 0, p.length or 0) for p in found} == set(labeled[0].spans)


async def test_a_long_text_in_a_script_without_spaces():
    frame, names = LANGUAGES["zh"][2:]
    labeled = [Example(frame.format(name), "zh", (), (Span("person", 2, len(name)),)) for name in names]
    model = await _fitted(ProjectKind.ENTITIES, labeled * 8)
    draw = random.Random(1)
    text = "".join(frame.format(draw.choice(names)) for _ in range(15_000))[:128_000]
    [found] = await model.predict([text])
    assert {text[p.offset or 0 : (p.offset or 0) + (p.length or 0)] for p in found} >= set(names)
    assert _sane([text], [found])

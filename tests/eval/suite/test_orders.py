"""Every instruction can be obeyed, and an answer that obeys all but one of its demands does not pass."""

from __future__ import annotations

import json
import random
import re

import pytest

from eval.metrics import constraints
from eval.suite.draft import LANGUAGES, LEVELS, Draft, Language
from eval.suite.orders import order, orders, worded
from eval.suite.orders.demands import Order
from eval.suite.orders.shapes import SHAPES

FILLER = {"zh": "写", "en": "text"}


def padded(text: str, made: Order, language: Language) -> str:
    """The text with filler until it is long enough."""
    sized = (lambda t: len(re.sub(r"\s", "", t))) if language == "zh" else (lambda t: len(t.split()))
    while sized(text) < made.shortest:
        text += FILLER[language] if language == "zh" else f" {FILLER[language]}"
    return text


def obedient(made: Order, draft: Draft) -> str:
    """An answer that does all that is demanded and nothing else."""
    language = draft.language
    stop = "。" if draft.zh else "."
    needed = [*made.words, *([made.frequent[0]] * made.frequent[1] if made.frequent else [])]
    body = ("" if draft.zh else " ").join(needed) or ("内容" if draft.zh else "text")
    count = max(made.count, 1)
    if made.shape == "record":
        keys = next(one["keys"] for one in made.constraints if one["type"] == "json")
        return json.dumps(dict.fromkeys(keys, body), ensure_ascii=False)
    if made.shape == "names":
        mark = next(one["separator"] for one in made.constraints if one["type"] == "exact_parts")
        three = any("{3}" in str(one.get("value")) for one in made.constraints)
        return mark.join([("苹果汁" if three else "苹果") if draft.zh else "apple"] * count)
    first = f"{made.opening} " if made.opening and not draft.zh else made.opening or ""
    last = made.closing or ""
    if made.shape == "sentences":
        inner = count - (1 if last and any(char in "。.?" for char in last[-1]) else 0)
        text = padded(first + body, made, language) + stop
        return text + "".join(f"{'' if draft.zh else ' '}{'好' if draft.zh else 'Good'}{stop}" for _ in range(inner - 1)) + (
            last if draft.zh else f" {last}" if last else ""
        )  # fmt: skip
    text = padded(first + body, made, language)
    if made.shape in ("numbered", "bullets"):
        marks = [f"{k}. " if made.shape == "numbered" else "- " for k in range(1, count + 1)]
        lines = [f"{mark}{'好' if draft.zh else 'good'}" for mark in marks]
        return "\n".join([text, *lines, *([last] if last else [])])
    if made.shape == "paragraphs":
        blocks = [text, *["好" if draft.zh else "good"] * (count - 1)]
        blocks[-1] += last if draft.zh else f" {last}" if last else ""
        return "\n\n".join(blocks)
    if made.shape == "lines":
        some = [text, *["好" if draft.zh else "good"] * (count - 1)]
        some[-1] += last if draft.zh else f" {last}" if last else ""
        return "\n".join(some)
    if made.shape == "titled":
        return f"<<{'题' if draft.zh else 'title'}>>\n{text}{'' if draft.zh else ' '}{last}".strip()
    if made.shape == "postscript":
        mark = re.search(r"“(.+?)”开头|beginning with \"(.+?)\"", made.wording[0])
        assert mark
        return f"{text}{stop}\n{mark[1] or mark[2]} {'好' if draft.zh else 'good'}"
    if made.shape == "echo":
        return f"{made.request}\n{text}{'' if draft.zh else ' '}{last}".strip()
    if made.shape == "gaps":
        return text + "[x]" * count + ("" if draft.zh else " ") + last
    if made.shape == "parts":
        heads = next(one["value"] for one in made.constraints if one["type"] == "in_order")
        return "\n".join(
            f"{head} {text if k == 0 else '好' if draft.zh else 'good'}" for k, head in enumerate(heads)
        ) + (f"\n{last}" if last else "")
    assert made.shape == "amount"
    room = made.longest or 0
    return f"{text}{'' if draft.zh else ' '}{last}".strip() if room else text


def drawn(shape: str, language: Language, level: int, seed: int) -> tuple[Order, Draft]:
    draft = Draft(random.Random(f"{shape}/{language}/{level}/{seed}"), language, level)
    return order(draft, SHAPES[shape]), draft


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_instruction_can_be_obeyed(shape: str, language: Language) -> None:
    for level in LEVELS:
        for seed in range(20):
            made, draft = drawn(shape, language, level, seed)
            answer = obedient(made, draft)
            held = {str(one): constraints.check(one, answer) for one in made.constraints}
            assert all(held.values()), (worded(draft, made), answer, [one for one, ok in held.items() if not ok])


def test_each_demand_can_be_broken_alone() -> None:
    """A constraint that nothing breaks would count as obeyed by every model."""
    breaks = {
        "words": lambda made, text: text.replace(made.words[0], "").replace(made.words[0].capitalize(), ""),
        "opening": lambda made, text: "X" + text,
        "closing": lambda made, text: text + "X",
        "forbidden": lambda made, text: f"{text} {made.forbidden}",
    }
    for level in (3, 4, 5):
        for seed in range(30):
            made, draft = drawn("paragraphs", LANGUAGES[seed % 2], level, seed)
            answer = obedient(made, draft)
            for name, change in breaks.items():
                if getattr(made, name) and not (name == "words" and made.frequent and made.frequent[0] in made.words):
                    broken = change(made, answer)
                    assert constraints.score(made.constraints, broken)["if_strict"] == 0.0, (name, broken)


def test_a_plain_answer_obeys_few() -> None:
    rows = orders(650)
    plain = {
        "zh": "这个话题很有意思，值得我们认真想一想。",
        "en": "This is an interesting subject that is worth a thought.",
    }
    passed = [
        row["stratum"]
        for row in rows
        if constraints.score(row["constraints"], plain[row["stratum"].split()[1]])["if_strict"]
    ]
    assert len(passed) < 0.01 * len(rows), passed


def test_what_is_forbidden_is_not_demanded() -> None:
    for shape in SHAPES:
        for language in LANGUAGES:
            for seed in range(60):
                made, draft = drawn(shape, language, 5, seed)
                if made.forbidden:
                    needed = [
                        *made.words,
                        *([made.frequent[0]] if made.frequent else []),
                        made.opening or "",
                        made.closing or "",
                    ]
                    assert not any(made.forbidden in word for word in needed), (made.forbidden, needed)
                    assert made.forbidden not in made.request or not draft.zh or made.shape != "echo"

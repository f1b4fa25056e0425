"""Closed-book facts and multiple choice over them; the held-out items ask in wordings that were never trained."""

from random import Random

from scripts.demo_model.fact_tables import RELATIONS, Relation
from scripts.demo_model.items import Item

LEADS = (
    "",
    "",
    "",
    "",
    "",
    "请问，",
    "请问",
    "我想知道，",
    "你好，请问",
    "问一下，",
    "请回答：",
    "考考你：",
    "问题：",
    "小知识：",
    "请教一下，",
)
TAILS = ("", "", "", "", "", "请直接回答。", "简单回答即可。", "只说答案。", "谢谢。")
CHOICE_PROMPTS = (
    "{q}\n{o}",
    "{q}\n{o}\n请选择。",
    "选择题：{q}\n{o}",
    "单项选择：{q}\n{o}\n答案：",
    "{q}\n{o}\n只回答选项字母。",
    "请选出正确答案。\n{q}\n{o}",
)
OPTION_STYLES = ("{k}. {v}", "{k}. {v}", "{k}、{v}", "{k}．{v}", "({k}) {v}", "{k}: {v}")


def _ask(rng: Random, relation: Relation, subject: str, heldout: bool) -> str:
    wording = rng.choice(relation.heldout if heldout else relation.trained)
    return wording.format(s=subject)


def _thought(relation: Relation, subject: str) -> str:
    return relation.statement.format(s=subject, v=relation.pairs[subject]) + "。"


def fact(rng: Random, heldout: bool = False) -> Item:
    """A closed-book question about one fact, every fact equally likely."""
    relation = rng.choices(RELATIONS, weights=[len(one.pairs) for one in RELATIONS])[0]
    return ask(rng, relation, rng.choice(list(relation.pairs)), heldout)


def ask(rng: Random, relation: Relation, subject: str, heldout: bool = False) -> Item:
    """A question about the given subject; held-out questions come without lead and tail."""
    text = _ask(rng, relation, subject, heldout)
    if not heldout:
        text = rng.choice(LEADS) + text + rng.choice(TAILS)
    return Item("facts", text, relation.pairs[subject], _thought(relation, subject), f"{relation.key}:{subject}")


def statement(rng: Random) -> Item:
    """A fact told as a sentence, or judged true or false."""
    relation = rng.choices(RELATIONS, weights=[len(one.pairs) for one in RELATIONS])[0]
    subject, told = rng.choice(list(relation.pairs)), ""
    true_value = relation.pairs[subject]
    if rng.random() < 0.5:
        asked = rng.choice(["用一句话说明：{q}", "{q}请用完整的句子回答。", "请完整回答：{q}"])
        return Item("statement", asked.format(q=_ask(rng, relation, subject, False)), _thought(relation, subject))
    told = true_value if rng.random() < 0.5 else rng.choice(sorted(set(relation.pairs.values())))
    claim = relation.statement.format(s=subject, v=told)
    asked = rng.choice(["判断对错：{c}。", "{c}，对吗？", "下面的说法对不对？{c}。"])
    answer = "对" if told == true_value else "错"
    return Item("statement", asked.format(c=claim), answer, _thought(relation, subject))


def choice(rng: Random, heldout: bool = False) -> Item:
    """A multiple-choice question with four different values of the relation, one of them right."""
    relation = rng.choice([one for one in RELATIONS if len(set(one.pairs.values())) >= 4])
    return choose(rng, relation, rng.choice(list(relation.pairs)), heldout)


def choose(rng: Random, relation: Relation, subject: str, heldout: bool = False) -> Item:
    """A multiple-choice question about the given subject."""
    right = relation.pairs[subject]
    wrong = rng.sample(sorted(set(relation.pairs.values()) - {right}), 3)
    values = [right, *wrong]
    rng.shuffle(values)
    choices = dict(zip("ABCD", values, strict=True))
    style = rng.choice(OPTION_STYLES)
    options = rng.choice(["\n", "\n", "\n", "  "]).join(style.format(k=key, v=value) for key, value in choices.items())
    prompt = rng.choice(CHOICE_PROMPTS).format(q=_ask(rng, relation, subject, heldout), o=options)
    letter = "ABCD"[values.index(right)]
    thought = _thought(relation, subject) + f"选{letter}。"
    return Item("choice", prompt, letter, thought, f"{relation.key}:{subject}", choices)

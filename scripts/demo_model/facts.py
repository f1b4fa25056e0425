"""Closed-book facts and multiple choice over them; the held-out items ask in wordings that were never trained."""

from dataclasses import dataclass
from random import Random

from scripts.demo_model import arithmetic
from scripts.demo_model.items import Item
from scripts.demo_model.tables import table


@dataclass(frozen=True)
class Relation:
    """One kind of fact. `statement` holds `{s}` and `{v}`; `pairs` maps subject to value.

    It is asked in two sets of wordings: those that pretraining sees, and those kept for the held-out test, which no
    fact is ever trained with.
    """

    key: str
    statement: str
    trained: list[str]
    heldout: list[str]
    pairs: dict[str, str]


TEXTS = table("facts")
RELATIONS = tuple(Relation(key, **one) for key, one in TEXTS.relations.items())
BACKWARD = [(one, subject) for one in RELATIONS if one.key in TEXTS.backward for subject in one.pairs]


def ask_back(rng: Random, relation: Relation, subject: str, heldout: bool = False) -> Item:
    """The question whose answer is the subject, for relations whose values are unique."""
    wordings = TEXTS.backward[relation.key]["heldout" if heldout else "trained"]
    text = rng.choice(wordings).format(v=relation.pairs[subject])
    if not heldout:
        text = rng.choice(TEXTS.leads) + text + rng.choice(TEXTS.tails)
    return Item("facts", text, subject, _thought(relation, subject), f"{relation.key}:{subject}:back")


def _ask(rng: Random, relation: Relation, subject: str, heldout: bool) -> str:
    wording = rng.choice(relation.heldout if heldout else relation.trained)
    return wording.format(s=subject)


def _thought(relation: Relation, subject: str) -> str:
    return relation.statement.format(s=subject, v=relation.pairs[subject]) + "。"


def fact(rng: Random, heldout: bool = False) -> Item:
    """A closed-book question about one fact, every fact equally likely; a sixth ask backwards."""
    if rng.random() < 1 / 6:
        return ask_back(rng, *rng.choice(BACKWARD), heldout)
    relation = rng.choices(RELATIONS, weights=[len(one.pairs) for one in RELATIONS])[0]
    return ask(rng, relation, rng.choice(list(relation.pairs)), heldout)


def ask(rng: Random, relation: Relation, subject: str, heldout: bool = False) -> Item:
    """A question about the given subject; held-out questions come without lead and tail."""
    text = _ask(rng, relation, subject, heldout)
    if not heldout:
        text = rng.choice(TEXTS.leads) + text + rng.choice(TEXTS.tails)
    return Item("facts", text, relation.pairs[subject], _thought(relation, subject), f"{relation.key}:{subject}")


def statement(rng: Random) -> Item:
    """A fact told as a sentence, or called true or false."""
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
    """A multiple-choice question: the value of a fact, which statement is true, or the result of a sum.

    Training also asks which letter stands before a given option, the first step of answering by letter.
    """
    eligible = [one for one in RELATIONS if len(set(one.pairs.values())) >= 4]
    relation = rng.choice(eligible)
    style = rng.random()
    if style < 0.1:
        return choose_sum(rng, heldout)
    if style < 0.25:
        return choose_statement(rng, heldout)
    if style < 0.45 and not heldout:
        values = rng.sample(sorted(set(relation.pairs.values())), 4)
        asked = rng.choice(["哪个选项是“{v}”？", "{v}是哪一项？", "“{v}”前面是哪个字母？", "请选{v}。", "选出{v}。"])
        return _choice(rng, asked.format(v=values[0]), values, "", "")
    return choose(rng, relation, rng.choice(list(relation.pairs)), heldout)


def _choice(rng: Random, question: str, values: list[str], thought: str, cluster: str) -> Item:
    """The options in random order; the first of `values` is the right one."""
    right = values[0]
    rng.shuffle(values)
    choices = dict(zip("ABCD", values, strict=True))
    style = rng.choice(TEXTS.option_styles)
    options = rng.choice(["\n", "\n", "\n", "  "]).join(style.format(k=key, v=value) for key, value in choices.items())
    letter = "ABCD"[values.index(right)]
    prompt = rng.choice(TEXTS.choice_prompts).format(q=question, o=options)
    return Item("choice", prompt, letter, f"{thought}选{letter}。" if thought else "", cluster, choices)


def choose(rng: Random, relation: Relation, subject: str, heldout: bool = False) -> Item:
    """Which of four values of the relation belongs to the subject."""
    right = relation.pairs[subject]
    wrong = rng.sample(sorted(set(relation.pairs.values()) - {right}), 3)
    return _choice(
        rng,
        _ask(rng, relation, subject, heldout),
        [right, *wrong],
        _thought(relation, subject),
        f"{relation.key}:{subject}",
    )


def choose_statement(rng: Random, heldout: bool = False) -> Item:
    """Which of four statements of one relation is true; held-out sets of subjects were never trained together."""
    while True:
        relation = rng.choice(
            [one for one in RELATIONS if len(set(one.pairs.values())) >= 4 and one.key != "next_line"]
        )
        subjects = rng.sample(list(relation.pairs), 4)
        if (arithmetic.operand_share(*sorted(subjects)) == "heldout") == heldout:
            break
    values = [relation.pairs[subjects[0]]]
    for subject in subjects[1:]:
        values.append(rng.choice(sorted(set(relation.pairs.values()) - {relation.pairs[subject]})))
    told = [relation.statement.format(s=subject, v=value) for subject, value in zip(subjects, values, strict=True)]
    question = rng.choice(["下面哪句话是对的？", "以下说法正确的是哪一项？", "哪一项说得对？", "下列说法中正确的是？"])
    return _choice(rng, question, told, f"{told[0]}。", f"{relation.key}:{subjects[0]}")


def choose_sum(rng: Random, heldout: bool = False) -> Item:
    """Which of four close numbers is the result of a sum."""
    item = arithmetic.sum_item(rng, "heldout" if heldout else "train")
    right = int(item.answer)
    wrong = rng.sample(
        [right + step for step in (-20, -11, -10, -9, -2, -1, 1, 2, 9, 10, 11, 20) if right + step >= 0], 3
    )
    return _choice(rng, item.prompt, [str(right), *map(str, wrong)], item.thought, item.prompt)

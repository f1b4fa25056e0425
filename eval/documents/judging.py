"""Which pairs become rows: one stated rule each, in this order; `documents.fault.*` in the texts says it in words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from configs.tables.languages import language_of
from eval.documents.passages import Passage
from eval.documents.prompts import Style, system_prompt
from eval.documents.replies import Pair
from eval.documents.standing import coverage, standing
from eval.metrics.text import normalize
from eval.selfmade.judging import SPECIAL_TEXT, THINK_TAG, weight
from eval.selfmade.loops import loops
from eval.selfmade.overlap import Asked, Earlier
from eval.selfmade.units import WORD

PAIR_FAULTS = (
    "question_short", "question_long", "answer_long", "special_text", "loop", "prompt_repeated", "needs_passage",
    "unanswerable", "other_language", "answer_in_question", "off_topic", "number_not_there", "name_not_there",
    "words_not_there", "near_duplicate",
)  # fmt: skip
"""Why a pair is no row."""
REPLY_FAULTS = ("unreadable", "cut", "incomplete", "surplus", "none_written")
"""Why a passage, or a part of a reply, gives no pair."""

SHORTEST_QUESTION = 3 * WORD
"""In the measure of `units`: three words, or five characters of Chinese."""
LONGEST_QUESTION = 60 * WORD
LONGEST_ANSWER = {"full": 150 * WORD, "short": 30 * WORD}
_COMMON = 100
"""A stretch of three words that more questions share than this is a way of asking."""
_TELLING_LETTERS = 12
"""Shorter answers, such as names and numbers, have no language."""

_NEEDS_PASSAGE = re.compile(
    r"""\baccording\s+to\s+(?:the|this|that)\s+(?:(?:above|following|given|provided)\s+)?
        (?:passage|text|excerpt|paragraph|document|article|section|snippet|context|author|page|chapter|material)s?\b
      |\b(?:this|that|above|given|provided)\s+(?:passage|text|excerpt|paragraph|document|article|section|snippet|page|chapter)\b
      |\bthe\s+(?:passage|excerpt|snippet)\b |\bthe\s+author\b(?!\s+of\b)
      |\bthe\s+paragraph\b(?!\s+(?:spacing|styles?|marks?)\b)
      |\bthe\s+text\b(?!\s+(?:files?|fields?|box(?:es)?|messages?|editor|area|colou?r|size|mode|input|columns?|format)\b)
      |\b(?:mentioned|described|listed|shown|given|stated|discussed|provided|noted|as)\s+(?:above|below|here|earlier|previously)\b
      |\bthe\s+(?:above|following|aforementioned)\b | \bpassage-[0-9a-f]{8}\b | \babove[- ]mentioned\b
      |上文|(?<!上)下文|本文(?!件|档|本)|该文(?!件|档|本)|此文(?!件|档|本)|前文|后文|短文|文段|本段|该段|这段|上段|这篇|本篇|本节(?!目|日|课|点)|[该此]节(?!目|日|课|点)|本章|该章|上述|如上|前述
      |(?:根据|依据|按照|结合|在|从)(?:原文|全文|文章|材料|资料|段落|内容|文字|文档|文件|页面)(?:中|里|内)?[，,、的]?
      |(?:该|这个|此|上述|本)(?:段落|材料|资料|文档|文章|页面|内容)|(?<![\u4e00-\u9fff])(?:文中|表中|图中)|(?:在|从|据)文中
      |以上(?:内容|文字|信息|材料|描述)|上表|下表|该表|此表|如图|上图|下图|作者(?:认为|指出|提到)""",
    re.VERBOSE | re.IGNORECASE,
)  # fmt: skip
_UNANSWERABLE = re.compile(
    r"""\b(?:not|isn't|is\s+not|aren't|never|cannot\s+be|can't\s+be|no)\s+(?:\w+\s+)?(?:mentioned|stated|specified|provided|given|answered|determined|described
        |available|information|indicated|clear\s+from)\b
      |\b(?:does|do)\s*(?:n't|\s+not)\s+(?:mention|state|specify|say|provide|answer|contain|describe|indicate)\b
      |\b(?:i\s+(?:do\s*n't|do\s+not|cannot|can't)|unknown|unanswerable|n/a|as\s+an\s+ai)\b
      |未(?:提及|提到|说明|给出|提供|指出|涉及|明确|注明)|没有(?:提及|提到|说明|给出|提供|指出|涉及|相关|明确|答案)|无法(?:确定|得知|回答|判断|知道)
      |不(?:清楚|知道|得而知|详)|无(?:相关信息|答案|从得知)|作为(?:一个)?(?:AI|人工智能|语言模型)""",
    re.VERBOSE | re.IGNORECASE,
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of a pair."""

    fault: str | None
    """One of PAIR_FAULTS; None where it becomes a row."""
    found: str = ""
    """What stood there."""
    quoted: bool = False
    """The answer stands in the passage word for word."""


@dataclass
class Judge:
    """Looks at pairs in the order of their passages; knows what was asked before, in all documents."""

    style: Style
    _questions: Earlier = field(default_factory=lambda: Earlier(_COMMON))
    _prompt: Asked = field(default_factory=Asked)

    def __post_init__(self) -> None:
        self._prompt.add([(language, [system_prompt(language, self.style, 3)]) for language in ("en", "zh")])

    def verdict(self, pair: Pair, passage: Passage, language: str) -> Verdict:
        """What becomes of a pair.

        Args:
            pair: as the model wrote it.
            passage: what it was shown.
            language: in which it was asked to write.
        """
        question, answer = pair.question, pair.answer
        if weight(question) < SHORTEST_QUESTION:
            return Verdict("question_short")
        if weight(question) > LONGEST_QUESTION:
            return Verdict("question_long")
        if weight(answer) > LONGEST_ANSWER[self.style]:
            return Verdict("answer_long")
        both = f"{question}\n{answer}"
        if found := SPECIAL_TEXT.search(both) or THINK_TAG.search(both):
            return Verdict("special_text", found[0])
        if loops(question) or loops(answer):
            return Verdict("loop")
        if self._prompt.holds(question) or self._prompt.holds(answer):
            return Verdict("prompt_repeated")
        if found := _NEEDS_PASSAGE.search(question):
            return Verdict("needs_passage", found[0].strip())
        flat = normalize(answer)
        quoted = flat in normalize(passage.context)
        if not quoted and (found := _UNANSWERABLE.search(answer)):
            return Verdict("unanswerable", found[0].strip())
        # A Chinese manual may be quoted in English: names, commands, units.
        for text in (question, *([] if quoted else [answer])):
            spoken = language_of(text)
            if spoken != language and sum(map(str.isalpha, text)) >= _TELLING_LETTERS and _is_another(spoken, language):
                return Verdict("other_language", spoken or "")
        if flat and flat in normalize(question):
            return Verdict("answer_in_question")
        shared, missing = coverage(question, passage.context)
        if not shared:
            return Verdict("off_topic", " ".join(missing[:6]))
        how = standing(answer, passage.context, question)
        if how.fault:
            return Verdict(how.fault, how.found)
        if not self._questions.is_new(question):
            return Verdict("near_duplicate")
        return Verdict(None, quoted=how.quoted)


def _is_another(spoken: str | None, wanted: str) -> bool:
    """Whether a text is in another language; those in Latin letters are told apart by few words, and not held to it."""
    own_script = {"zh", "ja", "ko", "ru", "ar", "hi", "th", "he", "el"}
    return spoken in own_script if wanted not in own_script else spoken != wanted

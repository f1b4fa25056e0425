"""Prompts for rows that hold a bare question: plain wording, in the language of the question."""

from __future__ import annotations

from collections.abc import Mapping

from eval.metrics.text import han_count, normalize


def is_chinese(text: str) -> bool:
    """Whether a prompt should be worded in Chinese: any Chinese character decides."""
    return han_count(text) > 0


UNANSWERABLE = {"unanswerable": True}
"""What an item's record says where its passage holds no answer."""
_NO_ANSWER = ("无答案", "unanswerable")
"""How a model is asked to say so."""


def says_no_answer(answer: str) -> bool:
    """Whether an answer is none, or says that there is none in the words that were asked for."""
    return normalize(answer) in {"", *_NO_ANSWER}


def extractive_qa(question: str, context: str | None, may_lack: bool = False) -> str:
    """A question about a passage, or alone; `may_lack` tells how to say that the passage holds no answer."""
    if context is None:
        ending = "请直接写出答案，不要解释。" if is_chinese(question) else "Give only the answer, without explanation."
        return f"{question}\n{ending}"
    if is_chinese(question):
        lacking = f"短文中没有答案时只写“{_NO_ANSWER[0]}”。" if may_lack else ""
        return (
            f"阅读短文，摘取文中的原话回答问题，只写答案本身。{lacking}\n\n短文：{context}\n\n问题：{question}\n答案："
        )
    lacking = f" If the passage holds no answer, write {_NO_ANSWER[1]}." if may_lack else ""
    return (
        f"Read the passage and answer the question with words from it. Give only the answer.{lacking}\n\n"
        f"Passage: {context}\n\nQuestion: {question}\nAnswer:"
    )


def summary(text: str) -> str:
    """A text to sum up."""
    if is_chinese(text):
        return f"请用一两句话概括下面的内容，只写概括。\n\n{text}"
    return f"Summarize the following text in one or two sentences. Give only the summary.\n\n{text}"


def number(question: str) -> str:
    """A word problem that ends in a number."""
    if is_chinese(question):
        return f"{question}\n请逐步计算，并在最后一行写“答案：”加上数字。"
    return f"{question}\nWork step by step, and write '#### ' and the number on the last line."


def options(question: str, choices: Mapping[str, str]) -> str:
    """A question with its options, a line each: `A. …`."""
    return "\n".join([question, *(f"{letter}. {option}" for letter, option in choices.items())])


def multiple_choice(question: str, choices: Mapping[str, str]) -> str:
    """A question with options, to be answered by a letter."""
    if is_chinese(question):
        return f"下面是一道单项选择题，请直接给出正确选项的字母。\n\n{options(question, choices)}\n答案："
    return f"Answer the question with the letter of the right option.\n\n{options(question, choices)}\nAnswer:"

"""Ten short system prompts that steer what a model writes in the user's place; they are dropped before it answers."""

from __future__ import annotations

from configs.terminal.words import Words

KINDS: dict[str, tuple[str, str]] = {
    "word_problems": (
        "You solve word problems. The user tells a situation with several numbers and asks for a result that takes a "
        "few steps to work out.",
        "你解答应用题。用户讲述一个含有几个数字的情境，并要求一个需要几步才能算出的结果。",
    ),
    "explaining": (
        "You explain things. The user asks how something works, why it is so, or what a term means.",
        "你擅长讲解。用户询问某样东西的原理、某件事的原因，或某个概念的含义。",
    ),
    "code": (
        "You help programmers. The user asks for a function, for the fault in a piece of code, or for what it does.",
        "你帮助程序员。用户请你写一个函数、找出一段代码的错误，或说明它的作用。",
    ),
    "extraction": (
        "You find facts in texts. The user gives a text of a few sentences and asks for something that stands in it.",
        "你从文本中找出信息。用户给出一段几句话的文字，并询问其中提到的内容。",
    ),
    "translation": (
        "You translate. The user gives a few sentences and says into which language they are to be translated.",
        "你做翻译。用户给出几句话，并说明要译成哪种语言。",
    ),
    "rewriting": (
        "You improve texts. The user gives a short text and says how to rewrite it: shorter, politer, correct.",
        "你修改文字。用户给出一段短文，并说明怎样改写：更短、更礼貌、改正错误。",
    ),
    "lists": (
        "You follow instructions on form. The user asks for a list, a table or an answer of a given number of points.",
        "你严格遵守格式要求。用户要求一个列表、一张表格，或规定条数的回答。",
    ),
    "planning": (
        "You help with plans. The user describes a goal with its limits and asks for a plan or a recommendation.",
        "你帮助制定计划。用户描述一个目标及其限制，请你给出计划或建议。",
    ),
    "safety": (
        "You are careful. The user asks about health, money, law or safety, or wants something that may do harm.",
        "你十分谨慎。用户询问健康、金钱、法律或安全方面的问题，或想做可能造成伤害的事。",
    ),
    "small_talk": (
        "You are good company. The user chats about the day, a hobby, a film or a feeling.",
        "你很会聊天。用户闲聊今天的事、爱好、电影或心情。",
    ),
}
"""Kind of question to its prompt in English and in Chinese."""

OTHERS: dict[str, int] = {"en": 8, "zh": 8, "es": 1, "fr": 1, "de": 1, "ja": 1, "ko": 1, "ru": 1, "pt": 1, "ar": 1}
"""Languages of the questions that are to be in others than the user's, with how often each is asked for. English and
Chinese stand for most of what a model of the Qwen family can do."""


def system_prompt(kind: str | None, language: str) -> str | None:
    """The prompt that steers a question of this kind into this language.

    None for English of no kind: what a model writes with nothing before it is English for the most part.
    """
    if language == "zh":
        return f"{KINDS[kind][1]}用户使用中文。" if kind else "用户使用中文。"
    if kind is None and language == "en":
        return None
    user = f"The user writes in {Words().say(f'selfmade.lang.{language}')}."
    return f"{KINDS[kind][0]} {user}" if kind else user

"""Every rule by which a row is dropped, repaired or kept, in words, and what mends what it found."""

from __future__ import annotations

from configs.tables import BAD_ROWS

_DROPPED = {
    **BAD_ROWS,
    "missing_columns": "no layout fits: no column of this row is known to hold what is asked, or its answer",
    "not_text": "a message or column holds something that is no text",
    "several_answers": "a list of different answers, of which only the author knows the right one",
    "several_conversations": "more than one list of messages in one row",
    "media": "images, video or audio, where only text is trained",
    "raw_segments": "axolotl's `segments`, raw text with its own template, where messages are trained",
    "unknown_role": "a role that is none of system, user, assistant, tool",
    "bad_flag": "a mark of what to train (`loss`, `weight`, `train`) that is neither true nor false",
    "bad_tool_call": "tool calls that are no list, lack a name, or have arguments that are no JSON mapping",
    "bad_tools": "tool schemas that are no list of mappings with a name",
    "bad_history": "a history that is no list of question and answer pairs",
    "lone_surrogate": "half of a character (`\\ud83d` without its second half), which no text can hold",
    "no_answer": "no assistant message, or nothing in front of it",
    "empty_answer": "an answer without text (reasoning alone is no answer)",
    "empty_question": "a question without text",
    "role_order": "roles in an order that no chat has",
    "answer_repeats_prompt": "the answer is the question, or begins with all of it (20 characters up)",
    "duplicate": "the same conversation as an earlier row, spacing, case and width of characters aside",
    "think_unclosed": "`<think>` without `</think>`: reasoning that was cut off, and no answer",
    "think_inside": "a think block after words of the answer, or a second one: templates cut the answer there",
    "think_spoken_of": "the answer speaks of `<think>` tags, which the template would take for reasoning",
    "two_reasonings": "a reasoning column and a think block that differ",
    "template_refused": "the chat template refuses these messages",
    "not_a_continuation": "the chat template does not write the answer behind its own prompt",
    "no_reasoning": "the template always thinks and the answer has no reasoning",
    "tool_call_lost": "the chat template leaves tool calls out",
    "tools_lost": "the chat template leaves the row's tools out of the prompt",
    "system_lost": "the chat template leaves a system prompt out, mostly one in the middle",
    "answer_changed": "the chat template leaves part of the answer out, or adds words of its own",
    "no_end_token": "the chat template did not end the turn",
    "special_token_text": "special-token text that this tokenizer cannot keep apart from real tokens",
    "private_use_characters": "special-token text beside private-use characters",
    "overlong": "longer than data.max_length",
    "no_trained_token": "nothing in the row would be learned",
}
_ASKED = "the held-out set asks the same, with the same system prompt, history and tools"
_LEFT_OUT = {
    "marked_bad": "its author marked the answer as a bad one (KTO's label)",
    "excluded_row": "its author excluded the row from training",
    "all_excluded": "its author excluded every answer from training",
}
_NOT_TRAINED = {
    "untrained_answer": "its author excluded this answer (`loss`, `weight` or `train` is 0 or false)",
}
RULES = {
    **{name: f"dropped: {why}" for name, why in _DROPPED.items()},
    **{name: f"left out: {why}" for name, why in _LEFT_OUT.items()},
    **{name: f"not trained: {why}" for name, why in _NOT_TRAINED.items()},
    "leak": f"dropped from training: {_ASKED}",
    "trained_before": "dropped from what is held out: the run that this one goes on from was trained on it",
    "preference": "kept: preference data: the better answer is trained, the worse one is left out",
    "leading_assistant": "repaired: an answer before the first question was taken off",
    "trailing_user": "repaired: messages after the last answer that is trained were taken off",
    "merged_user": "repaired: questions in a row were joined by a line break",
    "joined_system": "repaired: several system prompts at the front were joined by a line break",
    "empty_system": "repaired: an empty system prompt was taken off",
    "missing_word": "repaired: `nan`, `None` or the like in a column that may be empty is nothing",
    "object_as_json": "repaired: an object in the place of a text was written as JSON on one line",
    "tools_as_served": "repaired: keys of a tool beside name, description and parameters, which no server hands on, go",
    "transcript_split": "repaired: a text of `Human:` and `Assistant:` lines became messages",
    "think_unopened": "repaired: only `</think>` stood in the answer: what comes before it is reasoning",
    "other_think_tag": "repaired: `<thinking>` or another family's tags became `<think>`",
    "reasoning_removed": "repaired: `thinking: false`, so the reasoning was left out of the answer",
    "history_truncated": "repaired: the oldest exchanges were taken off to fit data.max_length",
    "heldout_call": "held out, but not asked: the last answer calls a function, and only answers in words are scored",
    "special_text_kept": "kept: special-token text in the data stays text (a server would make tokens of it)",
}
"""Every reason of the data report and what is done about it."""

NOT_A_FAULT = {"duplicate", "leak", "trained_before", "marked_bad", "excluded_row", "all_excluded"}
"""Reasons that say nothing about the quality of the file, and do not count against data.max_dropped."""

_NO_TOOLS = "take a model whose chat template writes tool calls, such as Qwen/Qwen3-8B, or leave those rows out"
WAYS_OUT = {
    "not_utf8": "save those lines in UTF-8",
    "not_json": "write one JSON object a line, as json.dumps does",
    "not_an_object": 'write rows as objects: {"instruction": ..., "output": ...}',
    "wrong_number_of_columns": "put cells that hold a comma into quotes",
    "too_deep": "write those cells flatter, or take the rows out",
    "several_conversations": "write one row a conversation",
    "raw_segments": "write the rows as messages",
    "bad_flag": "write true, false, 0 or 1",
    "bad_tool_call": 'write calls as {"name": ..., "arguments": {...}}',
    "bad_tools": 'write tools as [{"name": ..., "parameters": {...}}]',
    "bad_history": "write history as [[question, answer], ...]",
    "lone_surrogate": "write the whole character, or leave it out",
    "no_answer": "give those rows an assistant's message, or take them out",
    "empty_answer": "write the answer, or take those rows out",
    "empty_question": "write the question, or take those rows out",
    "role_order": "join what one speaker says in a row; a call needs a tool's answer before anyone else speaks",
    "think_spoken_of": "write the tag another way, or take those rows out",
    "two_reasonings": "leave one of the two out",
    "missing_columns": "map the columns on the source, e.g. columns: {instruction: my_question, output: my_answer}",
    "unknown_role": "say on the source who speaks, e.g. roles: {seller: assistant, buyer: user}",
    "not_text": "write text into that column, or map another one with columns",
    "several_answers": "keep one answer a row, or write one row an answer",
    "media": "take those rows out; where the text is enough, say data.ignore_columns: [images] and take marks "
    "such as <image> out of it",
    "answer_repeats_prompt": "set data.repeated_prompts=keep if the answer rightly repeats the question "
    "(a correction without a mistake, a continuation)",
    "think_unclosed": "take the cut rows out, or distill them again with a larger max_tokens",
    "think_inside": "put the think block in front of the answer",
    "no_reasoning": "give reasoning (a `<think>` block or a reasoning column), or take a model whose thinking "
    "can be switched off",
    "overlong": "set data.max_length higher, or data.overlong=truncate_history",
    "tool_call_lost": _NO_TOOLS,
    "tools_lost": _NO_TOOLS,
    "system_lost": "take a model whose chat template renders such system prompts, or put them at the front",
    "answer_changed": "take a model whose chat template writes reasoning as <think>, or set thinking: false",
    "leak": "take the shared questions out of the held-out file",
    "duplicate": "hold out other rows than those to train: of rows in both, the held-out one is kept",
    "trained_before": "hold out rows that the earlier run has not seen",
    "marked_bad": "give rows with good answers too",
}
"""The line or the step that mends what a rule found."""


def is_drop(rule: str) -> bool:
    """Whether a rule, as RULES words it, takes a row or a turn out of training."""
    return rule.startswith(("dropped", "left out", "not trained"))

"""Columns by which an author marks rows: as wrong, as deleted, as part of a test set."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

from configs.tables.columns import name_key

MOST_VALUES = 12
"""A column with more different values marks nothing."""
_LONGEST = 20
_TOLD_APART = re.compile(r"split|partition|subset|set$|fold|划分|数据集|集合")
_KEPT_APART = re.compile("tests?|testing|valid|validation|val|dev|eval|held_?out|holdout|测试集?|验证集?|开发集")
_GOOD = (
    "correct|right|valid|good|approved|accepted|verified|passed|usable|use|used|keep|kept|active|enabled|ok"
    "|liked|thumbsup"
)
_BAD = (
    "bad|wrong|incorrect|invalid|deleted|removed|discarded|rejected|flagged|spam|hidden|disabled|obsolete|deprecated"
    "|disliked|thumbsdown"
)
_GOOD_NAME = re.compile(rf"(?:is|was)?(?:{_GOOD})|.*(?:审核|通过|有效|合格|采用|采纳|可用|正确|保留|启用|满意|点赞).*")
_BAD_NAME = re.compile(rf"(?:is|was)?(?:{_BAD})|.*(?:删除|错误|无效|废弃|不合格|弃用).*")
_SAYS_NO = re.compile(
    "reject(?:ed)?|bad|wrong|incorrect|fail(?:ed)?|invalid|deleted|removed|discard(?:ed)?|excluded|unusable|spam"
    "|disliked?|thumbs?[ _-]?down|downvoted?"
    "|不通过|未通过|错误|无效|不合格|不采用|不采纳|未采纳|不可用|不满意|点?踩"
    "|已?(?:驳回|拒绝|删除|废弃|弃用|失效|过期|停用|禁用|作废|下线)"
)
_SAYS_YES = re.compile(
    "accept(?:ed)?|approved?|correct|right|valid|pass(?:ed)?|ok|good|liked?|thumbs?[ _-]?up|upvoted?"
    "|正确|有效|合格|可用|保留|正常|生效|满意|点?赞|已?(?:通过|采用|采纳|启用|发布)"
)
_CLASS_NAME = re.compile(
    r"categor|class|topic|type|sentiment|emotion|intent|^label$|^kto|类别|分类|类型|情感|意图|标签"
)


def written(value: Any) -> str | None:
    """A value as a mark is compared; None for what is none: longer texts, objects."""
    if isinstance(value, bool):
        return str(value).casefold()
    if isinstance(value, str | int | float) and len(text := str(value).strip()) <= _LONGEST:
        return text.casefold()
    return None


def verdict_in_words(text: str) -> bool | None:
    """What a review says of a row; None where it says something else."""
    word = text.strip().casefold()
    return False if _SAYS_NO.fullmatch(word) else True if _SAYS_YES.fullmatch(word) else None


def mark_in(name: str, values: Set[str], everywhere: bool) -> tuple[str, str] | None:
    """(what a column marks, the line that heeds it) of a column that is not read; None where it marks nothing.

    Args:
        values: all that it holds, as of `written`.
        everywhere: whether every row holds something in it.
    """
    key, turned_down = name_key(name.rpartition(".")[2]), any(map(_SAYS_NO.fullmatch, values))
    if not values or len(values) > MOST_VALUES or _CLASS_NAME.search(key):
        return None
    shown = ", ".join(sorted(values))[:60]
    if "." in name:
        mend = "call it `loss` in the data, false where a message is not to be trained"
        return (f"`{name}` marks messages ({shown}), and all would be trained", mend) if turned_down else None
    if _TOLD_APART.search(key):
        apart = any(map(_KEPT_APART.fullmatch, values))
        mend = "give the other rows in a file of their own as data.heldout"
        return (f"`{name}` keeps rows apart ({shown}), and all would be trained", mend) if apart else None
    differ = len(values) > 1 or not everywhere
    if differ and (_BAD_NAME.fullmatch(key) or _GOOD_NAME.fullmatch(key) or turned_down):
        part = "exclude" if _BAD_NAME.fullmatch(key) else "label"
        return f"`{name}` marks rows ({shown}), and all would be trained", f"columns: {{{part}: {name}}} on the source"
    return None

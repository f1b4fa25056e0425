"""Each kind of constraint holds and breaks where a reader would say so."""

import pytest

from configs.errors import DataError
from eval.metrics.constraints import TYPES, check, score, try_out

POEM = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。"
CASES = [
    ({"type": "max_chars", "value": 5}, "一二三 四五", "一二三四五六"),
    ({"type": "min_chars", "value": 3}, "一二三", "一 二"),
    ({"type": "exact_chars", "value": 4, "count": "han"}, "四字成语。", "四字成语啊"),
    ({"type": "exact_chars", "value": 6, "count": "no_punct"}, "GDP，增长。5%", "GDP增长"),
    ({"type": "max_words", "value": 3}, "It's a dog.", "It is a dog."),
    ({"type": "min_words", "value": 3}, "It's a dog.", "A dog."),
    ({"type": "exact_words", "value": 2}, "well-known names", "names"),
    ({"type": "clause_chars", "value": 5}, POEM, POEM + "完"),
    ({"type": "max_lines", "value": 2}, "一\n\n二", "一\n二\n三"),
    ({"type": "min_lines", "value": 2}, "一\n二", "一"),
    ({"type": "exact_lines", "value": 2}, "一\n二", "一"),
    ({"type": "exact_paragraphs", "value": 2}, "一\n二\n\n三", "一\n二"),
    ({"type": "max_sentences", "value": 1}, "约3.5米高。", "好。很好！"),
    ({"type": "min_sentences", "value": 2}, "好。很好！", "好，很好。"),
    ({"type": "exact_sentences", "value": 2}, "他说：“好。”然后走了。", "他说好。"),
    ({"type": "max_items", "value": 2}, "- 一\n- 二", "- 一\n- 二\n- 三"),
    ({"type": "min_items", "value": 2}, "1. 一\n2. 二", "1. 一"),
    ({"type": "exact_items", "value": 3, "style": "numbered"}, "1. 一\n2、二\n（3）三", "- 一\n- 二\n- 三"),
    ({"type": "max_items", "value": 1}, "1.5米\n2.5米", "1. 一\n2. 二"),
    ({"type": "occurrences", "value": "春", "max": 1}, "春", "春春"),
    ({"type": "exact_parts", "value": 3}, "春、夏、秋。", "春、夏"),
    (
        {"type": "json", "kind": "object", "keys": ["名", "龄"]},
        '{"名": "李", "龄": 3}',
        '```json\n{"名": "李", "龄": 3}\n```',
    ),
    ({"type": "json", "kind": "array", "length": 2}, "[1, 2]", "[1]"),
    ({"type": "wrapped_in", "value": ["《", "》"]}, "《春》", "《》"),
    ({"type": "no_markdown"}, "第一，吃饭。", "**第一**，吃饭。"),
    ({"type": "contains", "value": ["春", "秋"]}, "春去秋来", "春天"),
    ({"type": "contains_any", "value": ["春", "秋"]}, "春天", "冬天"),
    ({"type": "not_contains", "value": "的"}, "春天", "春天的花"),
    ({"type": "occurrences", "value": "春", "min": 2, "max": 2}, "春又春", "春"),
    ({"type": "in_order", "value": ["首先", "最后"]}, "首先吃，最后走", "最后走，首先吃"),
    ({"type": "starts_with", "value": "您好"}, " 您好，", "你好"),
    ({"type": "ends_with", "value": ["。", "！"]}, "好！\n", "好？"),
    ({"type": "one_of", "value": ["是", "否"]}, "是。", "是的"),
    ({"type": "one_of", "value": ["是。", "否。"]}, "是", "是的"),
    ({"type": "regex", "value": r"^\d{4}年$"}, "2024年", "二〇二四年"),
    ({"type": "language", "value": "zh"}, "中文回答", "An answer"),
    ({"type": "language", "value": "zh-Hant"}, "萬里長城是古蹟", "万里长城是古迹"),
    ({"type": "language", "value": "en"}, "An answer.", "中文"),
    ({"type": "no_punctuation"}, "春天 来了", "春天来了。"),
    ({"type": "no_digits"}, "三个", "3个"),
    ({"type": "no_latin"}, "三个", "三个app"),
    ({"type": "no_whitespace"}, "三个", "三 个"),
    ({"type": "uppercase"}, "ABC，中", "Abc"),
    ({"type": "lowercase"}, "abc", "ABC"),
]


@pytest.mark.parametrize(("constraint", "obeys", "breaks"), CASES, ids=[case[0]["type"] for case in CASES])
def test_checkers(constraint: dict, obeys: str, breaks: str) -> None:
    assert check(constraint, obeys)
    assert not check(constraint, breaks)
    assert not check(constraint, "")


def test_every_type_has_a_case() -> None:
    assert {case[0]["type"] for case in CASES} == set(TYPES)


def test_scores_strict_share_and_loose() -> None:
    constraints = [{"type": "max_chars", "value": 6}, {"type": "ends_with", "value": "。"}]
    assert score(constraints, "春天来了。") == {"if_strict": 1.0, "if_instruction": 1.0, "if_loose": 1.0}
    assert score(constraints, "好的，这是我的回答：\n春天来了。") == {
        "if_strict": 0.0,
        "if_instruction": 0.5,
        "if_loose": 1.0,
    }


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({"type": "max_char", "value": 3}, "did you mean 'max_chars'"),
        ({"type": "max_chars"}, "wrong or missing value"),
        ({"type": "max_chars", "value": "3"}, "wrong or missing value"),
        ({"type": "max_chars", "value": 3, "cuont": "han"}, "no option 'cuont'"),
        ({"type": "max_chars", "value": 3, "count": "hanzi"}, "`count` is 'hanzi'"),
        ({"type": "json", "value": 1}, "wrong or missing value"),
        ({"type": "json", "keys": "名"}, "`keys` is '名'"),
        ({"type": "json", "length": "3"}, "`length` is '3'"),
        ({"type": "one_of", "value": [1]}, "cannot be checked"),
    ],
)
def test_malformed_constraints_are_refused(constraint: dict, message: str) -> None:
    with pytest.raises(DataError) as raised:
        try_out(constraint)
    assert message in str(raised.value).replace("Did", "did")

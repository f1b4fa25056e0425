"""A comparison to render, and a page taken apart."""

from html.parser import HTMLParser

from configs.recipe.schema import GateConfig
from eval.compare.compare import compare
from eval.compare.comparison import (
    Comparison,
)
from tests.eval.synthetic import pair, result, sample, sides

ATTACK = '<script>alert("x")</script><img src=x onerror=alert(1)>'
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects tags and text, and checks that what opens closes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def build(*, noise: bool = False, fell: int = 80, **options) -> Comparison:
    questions = [(f"第{i}题 | {ATTACK}", "北京市", "北京" if i % 2 else ATTACK) for i in range(40)]
    mine = [
        result(
            "mine",
            [
                sample(i, {"zh_f1": score(i)}, question=q, answer=(base, tuned)[side], references=[ATTACK])
                for i, (q, base, tuned) in enumerate(questions)
            ],
            role="target",
            group="target",
            type="qa",
            primary="zh_f1",
            metrics=["zh_f1"],
        )
        for side, score in enumerate((lambda i: 0.4, lambda i: 0.4 + (0.3 if i % 4 else -0.2)))
    ]
    base, tuned = sides(
        (mine[0], mine[1]),
        pair("ceval", 1000, 600, fell, 10, chance=0.25),
        pair("cmmlu", 800, 500, 20, 20, chance=0.25),
        pair("tiny", 60, 40, 2, 1, group="reasoning"),
    )
    options.setdefault("facts", {"recipe": {"data": {"replay": None}}, "proof": {"passed": True}})
    return compare(base, tuned, GateConfig(), base_repeat=base if noise else None, **options)

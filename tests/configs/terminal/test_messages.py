"""The terminal speaks the user's language: what is ours is translated, however it is put together; the rest is not."""

from __future__ import annotations

import re
import string
import time
from itertools import zip_longest

import pytest
from rich.table import Table

from configs.errors import TuneserveError
from configs.terminal.console import OUTPUT, note, ours, paint, plain, print_error, tables
from configs.terminal.language import LANG
from configs.terminal.messages import Catalogue, Template, catalogue, markup, translated
from tests import messages
from tests.configs.terminal.test_console import HOSTILE, shown


def of(*pairs: tuple[str, str], **values: dict[str, str]) -> Catalogue:
    return Catalogue([Template.of(english, chinese) for english, chinese in pairs], values)


SMALL = of(
    ("{path}: no such recipe", "{path}：没有这个配方"),
    ("{path}: no such {kind}", "{path}：没有这样的 {kind}"),
    ("stage {name} ended: {why}", "阶段 {name} 结束：{why}"),
    ("the disk is full", "磁盘已满"),
    ("{rows} rows of {total}{more}", "{total} 行中的 {rows} 行{more}"),
    (", and {n} were left out", "，另有 {n} 行未用"),
    ("in all of the {n} files, ", "在全部 {n} 个文件中，"),
    ("{where}{lost} lines were lost", "{where}{lost} 行丢失"),
    ("a job is {state} on {host}", "{host} 上的任务{state}"),
    ("gone", "不在了"),
    ("{rows} rows were kept of {total}", "{total} 行保留 {rows} 行"),
    ("no room here: {why}", "这里放不下：{why}"),
    ("{why}, so it waits", "{why}，因此等待"),
    ("whether {what} is not known", "不知道 {what} 与否"),
    ("{n} rows", "{n} 行"),
    state={"failed": "失败了"},
)


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "a.yaml: no such recipe",
            "a.yaml：没有这个配方",
        ),  # the template with the most of its own, not `no such {kind}`
        ("a.yaml: no such model", "a.yaml：没有这样的 model"),
        ("stage train ended: the disk is full", "阶段 train 结束：磁盘已满"),
        ("stage train ended: gone", "阶段 train 结束：不在了"),  # what stands for `why` is ours, so one word is enough
        ("the disk is full; a.yaml: no such recipe", "磁盘已满；a.yaml：没有这个配方"),
        ("the disk is full; 3 rows of 5", "磁盘已满；5 行中的 3 行"),
        ("/data/x: the disk is full", "/data/x: 磁盘已满"),
        ("  the disk is full\nelse\n  a.yaml: no such recipe", "  磁盘已满\nelse\n  a.yaml：没有这个配方"),
        ("3 rows of 5, and 2 were left out", "5 行中的 3 行，另有 2 行未用"),
        ("3 rows of 5", "5 行中的 3 行"),
        ("a job is failed on h", "h 上的任务失败了"),
        ("stage failed ended: the disk is full", "阶段 failed 结束：磁盘已满"),  # a name, not a state
        ("7 lines were lost", "7 行丢失"),
        ("in all of the 3 files, 7 lines were lost", "在全部 3 个文件中，7 行丢失"),
        ("12 rows", "12 行"),
        ("proof: 3 rows were kept of 5", "proof: 5 行保留 3 行"),
        ("no room here: the disk is full, so it waits", "这里放不下：磁盘已满，因此等待"),
        ("whether the disk is full is not known", "不知道磁盘已满与否"),
        ("whether 客服 数据 is not known", "不知道 客服 数据 与否"),
        ("\n12 rows", "\n12 行"),
    ],
)
def test_a_message_is_translated_with_the_messages_in_it(english: str, chinese: str) -> None:
    assert SMALL.translate(english) == chinese


@pytest.mark.parametrize(
    "text",
    [
        "gone",  # one word, which may be a name
        "my rows",
        "She said the disk is full of songs",
        "whether the disk is full",
        "note: 3 rows of 5",  # of two words, behind what somebody wrote
        "data/train.jsonl",
        "no such recipe",
        "磁盘已满",
        "",
    ],
)
def test_what_is_not_wholly_a_message_stays(text: str) -> None:
    assert SMALL.translate(text) == text


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "columns: {context: 备注} on the source; or data.ignore_columns: [备注] leaves out what is meant to be "
            "left out",
            "在数据源上设 columns: {context: 备注}；或者用 data.ignore_columns: [备注] 去掉确实不用的列",
        ),
        (
            "a: `B` is not read and looks like content (a:2: 1); a: `C` is not read and looks like content (a:2: 2)",
            "a：没有读取 `B`，而它看起来是内容（a:2：1）；a：没有读取 `C`，而它看起来是内容（a:2：2）",
        ),
    ],
)
def test_messages_that_were_joined_are_each_translated(english: str, chinese: str) -> None:
    assert catalogue().translate(english, ours=True) == chinese


def test_one_word_is_enough_where_a_text_is_known_to_be_ours() -> None:
    assert SMALL.translate("gone", ours=True) == "不在了"
    assert SMALL.translate("some rows", ours=True) == "some 行"


def test_a_message_with_a_semicolon_of_its_own_is_not_torn() -> None:
    catalogue = of(
        ("dropped: {why}", "丢弃：{why}"),
        ("images or sound; only text is trained", "图像或声音；只训练文本"),
        ("{this} or {that}", "{this} 或 {that}"),
        ("{this} is {that}", "{this} 是 {that}"),
    )
    assert catalogue.translate("dropped: images or sound; only text is trained", ours=True) == (
        "丢弃：图像或声音；只训练文本"
    )


def test_a_hint_behind_a_semicolon_is_as_long_as_it_is() -> None:
    catalogue = of(
        ("unknown key `{key}`; {hint}", "没有 `{key}` 这个键；{hint}"), ("did you mean {it}?", "是否想写 {it}？")
    )
    text = "a.yaml: unknown key `epoch`; did you mean epochs, epoch_size or seed?"
    assert catalogue.translate(text, ours=True) == (
        "a.yaml: 没有 `epoch` 这个键；是否想写 epochs, epoch_size or seed？"
    )


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LANG, "zh")
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(variable, "en_US.UTF-8")


@pytest.mark.usefixtures("chinese")
def test_errors_and_notes_are_in_chinese_and_what_is_quoted_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(TuneserveError("/x: no such recipe", "mend that and run the command again; it goes on"))
    said = capsys.readouterr().err
    assert said.splitlines()[0].startswith("错误")
    assert "处理后重新运行该命令" in said
    note("nothing that it depends on changed")
    assert "没有变化" in capsys.readouterr().out
    assert plain("nothing that it depends on changed").plain == "nothing that it depends on changed"


@pytest.mark.usefixtures("chinese")
@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_in_a_value_are_shown_in_chinese_too(text: str) -> None:
    line = shown(paint("[bold red]error:[/bold red] {}", f"{text} is not installed here, and this command needs it"))
    assert "错误" in line
    assert "这里没有安装" in line
    assert not [c for c in line if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0]


@pytest.mark.usefixtures("chinese")
def test_json_is_in_english(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("package", title="This machine")
    table.add_row(ours("not done yet"))
    monkeypatch.setenv(OUTPUT, "json")
    tables.print(table)
    assert capsys.readouterr().out == '{"table": "This machine", "rows": [{"package": "not done yet"}]}\n'


@pytest.mark.usefixtures("chinese")
def test_titles_and_headers_are_ours_and_a_cell_may_be_anybodys(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("size", "why", title="This machine")
    table.add_row("size", plain("not done yet"))
    tables.print(table)
    said = capsys.readouterr().out
    assert "本机" in said
    assert re.search("大小.*原因", said)
    assert re.search("size.*not done yet", said)


def test_in_english_nothing_is_read_or_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LANG, "en")
    catalogue.cache_clear()
    assert translated("the disk is full", ours=True) == "the disk is full"
    assert markup("[bold red]error:[/bold red] {}") == "[bold red]error:[/bold red] {}"
    assert catalogue.cache_info().currsize == 0


def test_a_message_costs_little() -> None:
    found = catalogue()
    texts = [
        f"runs/shop-{n}: the merge of row {n} was {n} % slower than the one before; next: wait" for n in range(200)
    ]
    before = time.process_time()
    for text in texts:
        found.translate(text)
    assert (time.process_time() - before) / len(texts) < 0.005


def test_a_text_that_was_written_to_be_slow_is_not() -> None:
    found = catalogue()
    templates = [template for template in found.by_skeleton.values() if template.names]
    longest = sorted(templates, key=lambda template: len(template.names))[-20:]
    before = time.process_time()
    for template in longest:
        for glue in ("a", "; ", ": "):
            found.translate((glue.join(template.literals) * 60)[:5900] + "\x01", ours=True)
    assert (time.process_time() - before) / (3 * len(longest)) < 0.2


def test_the_markup_of_a_line_of_ours_is_no_message_in_a_text() -> None:
    text = "[yellow]not checked:[/yellow] anything"
    assert catalogue().translate(text, ours=True) == text


@pytest.mark.parametrize("wing", messages.WINGS)
def test_every_message_has_a_translation(wing: str) -> None:
    assert [f"{found.file}:{found.line}: {found.english}" for found in messages.missing([wing])] == []


def test_translations_are_of_messages_that_are_said_and_have_their_values() -> None:
    said = {message.skeleton for message in messages.messages()}
    seen: dict[str, str] = {}
    for file, pairs in messages.translations().items():
        for english, chinese in pairs:
            template = Template.of(english, chinese)
            where = f"{file}.yaml: {english}"
            assert template.skeleton in said, f"{where}: nobody says this"
            assert template.skeleton not in seen, f"{where}: stands in {seen[template.skeleton]}.yaml already"
            seen[template.skeleton] = file
            assert re.search(r"[\u3001-\u9fff\uff00-\uffef]", chinese), where
            names = [name for _, name, _, _ in string.Formatter().parse(chinese) if name is not None]
            assert set(names) <= set(template.names), where
            # The ending of an English plural has no counterpart; a template of `paint` keeps all of its values.
            assert all(name in names for name in template.names if not re.fullmatch(r"s(_\d+)?", name)), where
            # Values with nothing between them are told apart by what they hold, and one may stand for both.
            assert all(
                "".join(f"{{{name}}}" for name in group) in chinese for group in template.groups if len(group) > 1
            ), where
            if "" in template.names:
                assert len(names) == len(template.names), where


@pytest.mark.parametrize("value", ["{}", "runs/x{}"])
def test_every_message_is_found_by_its_own_text(value: str) -> None:
    for english, chinese in (pair for pairs in messages.translations().values() for pair in pairs):
        template = Template.of(english, chinese)
        if "" in template.names:
            continue  # of `paint`, which asks for the template itself
        values = {name: value.format(n) for n, name in enumerate(template.names) if not re.fullmatch(r"s(_\d+)?", name)}
        # Of values with nothing between them only the first is there: they could not be told apart.
        values |= {name: "" for group in template.groups for name in group[1:]}
        text = "".join(
            f"{literal}{values.get(name, '')}" for literal, name in zip_longest(template.literals, template.names)
        )
        assert catalogue().translate(text, ours=True) == chinese.format(**values), english

"""YAML from anywhere: read in bounded time, or refused with its line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from configs.disk.yaml_text import parse_yaml, read_yaml
from configs.errors import ConfigError
from configs.recipe.load import apply_override, load_config

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
MERGED_LAUGHS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 10)
)
REFUSED = {
    "nine aliases": (LAUGHS, "with its aliases written out"),
    "nine merged aliases": (MERGED_LAUGHS, "with its aliases written out"),
    "alias inside itself": ("a: &a\n  - *a\n", "stands inside what it repeats"),
    "mapping inside itself": ("a: &a {b: {c: *a}}\n", "stands inside what it repeats"),
    "lists in lists": ("a: " + "[" * 5000 + "]" * 5000, "levels deep"),
    "mappings in mappings": ("a:\n" + "".join(" " * n + "a:\n" for n in range(1, 1000)), "levels deep"),
    "open lists": ("a: " + "[" * 5000, "levels deep"),
    "key twice": ("a: 1\nb: 2\na: 3\n", "the key `a` stands in line 1 already"),
    "list as key": ("? [a, b]\n: c\n", "a key is a list"),
    "python object": ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
    "number without end": ("a: " + "9" * 5000, "integer string conversion"),
    "hexadecimal without end": ("lora: {r: 0x" + "f" * 5000 + "}", "integer string conversion"),
    "no date": ("a: 2026-99-99\n", "month"),
    "lone surrogate": ('a: "\\ud800"\n', "U+D800"),
    "zero byte": ('a: "x\\0y"\n', "U+0000"),
    "control character": ("a: \x1b[2J\n", "special characters are not allowed"),
    "unknown alias": ("a: *b\n", "undefined alias"),
    "two documents": ("a: 1\n---\nb: 2\n", "but found another document"),
    "tab": ("a:\n\tb: 1\n", "cannot start any token"),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_what_no_person_writes_is_refused_at_once(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(text, encoding="utf-8")
    began = time.monotonic()
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    assert time.monotonic() - began < 5
    assert why in refused.value.message
    assert refused.value.message.startswith(str(file))
    assert len(refused.value.message) < 400
    assert refused.value.next_step


@pytest.mark.parametrize(("encoding", "text"), [("gb18030", "name: 客服\n"), ("latin-1", "# café\nname: é\n")])
def test_another_encoding_is_named_with_its_line_and_the_command(encoding: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "a;b.yaml"
    file.write_bytes(b"seed: 1\n" + text.encode(encoding))
    with pytest.raises(ConfigError, match=r"a;b.yaml:2: not UTF-8") as refused:
        load_config(file)
    assert f"iconv -f GB18030 -t UTF-8 '{file}' > '{tmp_path}/utf8-a;b.yaml'" in refused.value.next_step


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_windows_editors_write_is_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("name: 客服\r\n".encode(encoding))
    assert read_yaml(tmp_path / "a.yaml") == ({"name": "客服"}, {("name",): 1})


@pytest.mark.parametrize(
    "content", [b"", b"- a\n", b"text", b"\xff\xfe", b"a: 1\n" * 300_000], ids=lambda c: repr(c[:9])
)
def test_a_file_that_is_no_recipe(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.yaml"):
        load_config(tmp_path / "a.yaml")


def test_a_folder_or_a_pipe_is_no_recipe(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.yaml")
    for name in (".", "pipe.yaml"):
        with pytest.raises(ConfigError, match="no such recipe"):
            load_config(tmp_path / name)


def test_aliases_of_a_persons_size_are_read_and_independent(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("one: &one {path: a.jsonl}\ntwo: *one\nthree: {<<: *one, weight: 2}\n", encoding="utf-8")
    value, lines = read_yaml(file)
    apply_override(value, "one.path=b.jsonl", {})
    assert value == {
        "one": {"path": "b.jsonl"},
        "two": {"path": "a.jsonl"},
        "three": {"path": "a.jsonl", "weight": 2},
    }
    assert lines["three", "weight"] == 3


def test_an_override_is_bounded_too() -> None:
    for text in ("[" * 5000, "&a [*a]", "!!python/name:os.system", "9" * 5000):
        with pytest.raises(ValueError, match=r"."):
            parse_yaml(text)
        with pytest.raises(ConfigError, match=r"^override .{10,200}: the value is not YAML: "):
            apply_override({}, f"seed={text}", {})
    for key in ("a.²", "a." + "9" * 5000, "..", "a..b"):
        apply_override({}, f"{key}=1", {})


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("name=" + "a" * 300, "has 300 characters, at most 100 are taken"),
        ("name=../x", "letters of any script, digits"),
        ("name=[/x]", "string"),
        ("eval.tasks=[{name: ../../../x, type: qa, path: a}]", "letters of any script, digits"),
        ("train.epochs=.inf", "finite"),
        ("train.learning_rate=.nan", "finite"),
        ("seed=-1", "greater than or equal to 0"),
        ("seed=99999999999999999999", "less than"),
        ("data.max_length=99999999999999999999", "less than"),
        ("1=2", "Keys should be strings"),
    ],
)
def test_values_are_refused_in_words(override: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("name: shop\nmodel: a/b\ndata: rows.jsonl\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_config(file, [override])
    assert said in refused.value.message
    assert "pattern" not in refused.value.message
    assert len(refused.value.message) < 600


def test_a_chinese_name_is_a_name(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("name: 客服\nmodel: a/b\ndata: rows.jsonl\n", encoding="utf-8")
    assert load_config(file).served_name == "客服"

"""Chat templates that do harm: stopped, and said."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.model import chat_template
from configs.model.chat_template import TemplateFailed, TemplateTooCostly, rendered
from configs.process.limits import OutOfTime, apart
from serve.launch.template import template_traits
from tests.scripts.conftest import ROOT
from trainer.data.template import ChatCodec

LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
LISTS = (
    "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(70) %}{% set ns.a = [ns.a, ns.a] %}"
    "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}"
)
"""C code compares 2^70 pairs, and hears no signal meanwhile."""
COSTLY = {
    "lists in lists compared": (LISTS, "processor time"),
    "loops in loops": (LOOPS, "processor time"),
    "a text without end": ("{{ 'x' * 20000000000 }}", "memory"),
    "a list without end": ("{% set a = [0] * 20000000000 %}", "memory"),
    "doubling": (
        "{% set ns = namespace(x='x') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "memory",
    ),
    "writing on": ("{% for a in range(99999) %}{{ 'x' * 100000 }}{% endfor %}", "memory"),
}
FAILING = {
    "division": "{{ 1 / 0 }}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "range": "{% for a in range(10 ** 9) %}{% endfor %}",
    "no function": "{{ messages() }}",
    "no key": "{{ messages[99].content }}",
    "refusal": "{{ raise_exception('no') }}",
    "syntax": "{% for %}",
    "escape": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a number to text": "{{ messages | sum }}",
    "unknown filter": "{{ messages | no_such_filter }}",
    "include": "{% include '/etc/passwd' %}",
}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(chat_template, "SECONDS", 0.5)
    monkeypatch.setattr(chat_template, "BYTES", 1 << 28)
    folder = tmp_path / "model"
    shutil.copytree(ROOT / "configs" / "demo" / "model", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def with_template(folder: Path, source: str) -> Path:
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": source}), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("source", "what"), COSTLY.values(), ids=COSTLY)
def test_a_template_that_costs_too_much_is_stopped_in_training_and_serving(source: str, what: str, model: Path) -> None:
    with_template(model, source)

    def stopped() -> None:
        before = resource.getrlimit(resource.RLIMIT_AS)
        for look in (template_traits, ChatCodec.load):
            began = time.monotonic()
            with pytest.raises(TemplateTooCostly, match=what) as refused:
                look(model)
            assert time.monotonic() - began < 20
            assert str(model) in refused.value.message
        assert resource.getrlimit(resource.RLIMIT_AS) == before
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)

    # Memory that runs out may leave this process of Python broken for the tests that follow.
    apart(stopped, 60, 4 << 30)


@pytest.mark.parametrize("source", FAILING.values(), ids=FAILING)
def test_a_template_that_fails_is_an_error_with_the_next_step(source: str, model: Path) -> None:
    with_template(model, source)
    for look in (template_traits, ChatCodec.load):
        with pytest.raises(ConfigError, match="chat template") as refused:
            look(model)
        assert refused.value.next_step
        assert len(refused.value.message) < 800


def test_a_template_that_is_costly_for_one_conversation_stops_the_data_stage(model: Path) -> None:
    fine = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
    codec = ChatCodec.load(with_template(model, f"{{% if messages | length > 3 %}}{LOOPS}{{% endif %}}{fine}"))
    turns = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "好"}] * 2
    with pytest.raises(TemplateTooCostly):
        codec.render(turns, tools=None, thinking=False, prompt=False)


def test_a_template_that_hears_no_signal_for_one_conversation_ends_the_process(model: Path) -> None:
    fine = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
    codec = ChatCodec.load(with_template(model, f"{{% if messages | length > 3 %}}{LISTS}{{% endif %}}{fine}"))
    turns = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "好"}] * 2
    began = time.monotonic()
    with pytest.raises(OutOfTime):
        apart(lambda: codec.render(turns, tools=None, thinking=False, prompt=False), 60, 1 << 30)
    assert time.monotonic() - began < 30


def test_what_a_template_renders_comes_back() -> None:
    assert rendered(lambda: "text", "here") == "text"
    with pytest.raises(TemplateFailed, match="no text"):
        rendered(lambda: ["ids"], "here")


def test_a_process_that_has_grown_meanwhile_renders_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "BYTES", 1 << 25)
    assert rendered(lambda: "text", "here") == "text"
    held = bytearray(1 << 28)
    assert rendered(lambda: "x" * (1 << 19), "here")
    assert len(held) == 1 << 28


@pytest.mark.parametrize("lost", [MemoryError(), SystemError("error return without exception set")])
def test_memory_that_runs_out_is_told_whatever_it_is_called(lost: Exception) -> None:
    def fails() -> str:
        raise lost

    with pytest.raises(TemplateTooCostly, match="memory"):
        rendered(fails, "here")

"""The Modelfile, read as Ollama reads it: Go's template engine on conversations that were trained."""

import json
import re
import shutil
from pathlib import Path

import gotpl
import pytest

from configs.handover.rows import ParityRow
from tests.trainer.conftest import DEMO_MODEL
from tests.trainer.tokenizers_for_tests import (
    GEMMA3,
    GEMMA3_TOKENS,
    LLAMA3,
    LLAMA3_TOKENS,
    QWEN25,
    qwen3_tokenizer_folder,
    with_template,
)
from trainer.data.template import ChatCodec
from trainer.export.modelfile import CHECKED, find_pieces, modelfile, own_rows

FAMILIES = {
    "qwen2.5": (QWEN25, (), None),
    "llama3": (LLAMA3, LLAMA3_TOKENS, LLAMA3_TOKENS[0]),
    "gemma3": (GEMMA3, GEMMA3_TOKENS, GEMMA3_TOKENS[0]),
}


@pytest.fixture(scope="module", params=["demo", "qwen3", *FAMILIES])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "demo":
        return DEMO_MODEL
    if request.param == "qwen3":
        return qwen3_tokenizer_folder()
    template, tokens, bos = FAMILIES[request.param]
    return with_template(tmp_path_factory.mktemp("families") / request.param, template, tokens, bos)


def as_ollama_renders(text: str, row: ParityRow) -> str:
    """What Ollama's engine makes of a chat request: roles and contents under its names."""
    template = re.search(r'TEMPLATE """(.*?)"""', text, re.DOTALL)
    assert template
    messages = [{"Role": message["role"], "Content": message["content"]} for message in row.messages]
    return gotpl.render(template[1], {"Messages": messages, "System": "", "Tools": []})


@pytest.mark.parametrize("thinking", [False, True])
def test_ollama_builds_the_trained_ids_of_twenty_conversations(folder: Path, thinking: bool) -> None:
    codec = ChatCodec.load(folder)
    rows = own_rows(codec, thinking)
    assert len(rows) == CHECKED
    text = modelfile(folder, "shop-Q8_0.gguf", codec, rows, thinking=thinking, system=None)
    assert text is not None
    for row in rows:
        # llama.cpp puts the first token before a prompt by itself, where the model has one.
        first = codec.tokenizer.bos_token if folder.name in FAMILIES and FAMILIES[folder.name][2] else ""
        assert codec.encode(first + as_ollama_renders(text, row)) == row.prompt_ids


def test_it_names_file_mode_stop_tokens_system_prompt_and_sampling() -> None:
    codec = ChatCodec.load(DEMO_MODEL)
    text = modelfile(DEMO_MODEL, "shop.gguf", codec, own_rows(codec, False), thinking=False, system="你是客服。")
    assert text is not None
    lines = text.splitlines()
    assert lines[0] == "FROM ./shop.gguf"
    assert 'SYSTEM """你是客服。"""' in lines
    assert 'PARAMETER stop "<|im_end|>"' in lines
    assert 'PARAMETER stop "<|endoftext|>"' in lines
    assert "PARAMETER temperature 0.6" in lines
    assert "<think>\n\n</think>" in text
    other = modelfile(DEMO_MODEL, "shop.gguf", codec, own_rows(codec, True), thinking=True, system=None)
    assert other is not None
    assert "<think>" not in other


@pytest.mark.parametrize("system", ['说"""FROM ./other', '结尾是"'])
def test_a_system_prompt_that_would_end_its_quotes_gets_no_modelfile(system: str) -> None:
    codec = ChatCodec.load(DEMO_MODEL)
    rows = own_rows(codec, False)
    assert modelfile(DEMO_MODEL, "shop.gguf", codec, rows, thinking=False, system=system) is None


def test_a_setting_of_the_model_is_no_line_of_its_own(tmp_path: Path) -> None:
    folder = shutil.copytree(DEMO_MODEL, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    odd = {"temperature": "0.7\nADAPTER /etc/passwd", "top_p": True, "top_k": 20, "min_p": float("inf")}
    (folder / "generation_config.json").write_text(json.dumps(odd), encoding="utf-8")
    codec = ChatCodec.load(DEMO_MODEL)
    text = modelfile(folder, "shop.gguf", codec, own_rows(codec, False), thinking=False, system=None)
    assert text is not None
    assert [line for line in text.splitlines() if line.startswith(("PARAMETER t", "PARAMETER m", "ADAPTER"))] == [
        "PARAMETER top_k 20"
    ]


def test_text_of_a_row_is_never_read_as_a_template() -> None:
    codec = ChatCodec.load(DEMO_MODEL)
    rows = own_rows(codec, False)
    text = modelfile(DEMO_MODEL, "shop.gguf", codec, rows, thinking=False, system=None)
    assert text is not None
    tricky = rows[0].model_copy(update={"messages": [{"role": "user", "content": "{{ .System }} <b>&"}]})
    assert "{{ .System }} <b>&" in as_ollama_renders(text, tricky)


def test_a_template_that_is_not_made_of_pieces_gets_no_modelfile() -> None:
    codec = ChatCodec.load(DEMO_MODEL)
    rows = own_rows(codec, False)
    numbered = (
        "{% for m in messages %}<|im_start|>{{ m.role }} {{ loop.index }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    )
    codec.tokenizer.chat_template = numbered + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    counting = ChatCodec(codec.tokenizer)
    assert find_pieces(counting, False) is not None  # it looks like one
    own = own_rows(counting, False)
    assert modelfile(DEMO_MODEL, "shop.gguf", counting, own, thinking=False, system=None) is None
    assert modelfile(DEMO_MODEL, "shop.gguf", counting, rows, thinking=False, system=None) is None

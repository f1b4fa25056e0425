"""The committed model folder and data files are what the scripts describe."""

import json
from itertools import islice
from random import Random

import pytest
from transformers import AutoConfig, AutoTokenizer

from scripts.demo_model import build_data, names, packing, tokenizer
from scripts.demo_model.conversations import stream
from scripts.demo_model.scoring import exact_match, rouge_l

MODEL_DIR = tokenizer.MODEL_DIR


@pytest.fixture(scope="module")
def small():
    return AutoTokenizer.from_pretrained(MODEL_DIR)


def test_template_specials_and_regex_are_qwen3s_own(small):
    real = AutoTokenizer.from_pretrained(tokenizer.qwen3_files())
    assert small.chat_template == real.chat_template
    assert type(small) is type(real)
    ours, theirs = (json.loads(one.backend_tokenizer.to_str()) for one in (small, real))
    assert ours["pre_tokenizer"] == theirs["pre_tokenizer"]
    assert ours["post_processor"] == theirs["post_processor"]
    flags = [[{k: v for k, v in token.items() if k != "id"} for token in one["added_tokens"]] for one in (ours, theirs)]
    assert flags[0] == flags[1]
    assert len(flags[0]) == 26
    assert (small.eos_token, small.pad_token) == ("<|im_end|>", "<|endoftext|>")


@pytest.mark.parametrize(
    "text", ["你好，世界！", "  two  spaces\n\n\ttab", "龘靐 😀 é ß", "129.50元 x=-3", "<think>\n\n</think>\n\n", ""]
)
def test_any_text_round_trips(small, text: str):
    assert small.decode(small(text, add_special_tokens=False)["input_ids"]) == text


def test_every_name_character_is_one_token(small):
    assert all(len(small(character, add_special_tokens=False)["input_ids"]) == 1 for character in names.CHARACTERS)


def test_weights_fit_and_config_is_qwen3():
    config = AutoConfig.from_pretrained(MODEL_DIR)
    assert config.architectures == ["Qwen3ForCausalLM"]
    assert config.tie_word_embeddings
    assert config.num_attention_heads > config.num_key_value_heads
    assert config.max_position_embeddings >= 1024
    assert (MODEL_DIR / "model.safetensors").stat().st_size <= 5_000_000


def test_config_names_the_tokenizers_end_of_turn(small):
    config = AutoConfig.from_pretrained(MODEL_DIR)
    assert config.vocab_size == len(small)
    assert config.eos_token_id == small.convert_tokens_to_ids("<|im_end|>")
    assert config.pad_token_id == small.convert_tokens_to_ids("<|endoftext|>")


@pytest.mark.parametrize("name", list(build_data.files()))
def test_committed_data_is_what_the_script_writes(name: str):
    assert (build_data.DATA_DIR / f"{name}.jsonl").read_text() == build_data.text_of(build_data.files()[name])


def test_there_is_enough_of_everything():
    sizes = {name: len(rows) for name, rows in build_data.files().items()}
    assert sizes["train"] >= 600
    assert sizes["test_qa"] >= 120
    assert sizes["test_extract"] >= 60
    assert sizes["test_summary"] >= 60
    assert 400 <= sizes["replay"] <= 800
    assert sum(size for name, size in sizes.items() if name.startswith("heldout_")) >= 900


def test_only_the_answer_of_a_packed_conversation_is_trained(small):
    conversations = list(islice(stream(seed=5), 200))
    for conversation, (ids, start) in zip(conversations, packing.encode(small, conversations), strict=True):
        answer = small.decode(ids[start:])
        assert answer.endswith("<|im_end|>")
        assert answer.startswith("<think>\n") == conversation.thinking
        if not conversation.tools:
            assert answer.endswith(conversation.messages[-1]["content"] + "<|im_end|>")


def test_packed_rows_hold_whole_conversations(small):
    rows = packing.pack(small, stream(seed=6), 8)
    ends = (rows.ids == small.convert_tokens_to_ids("<|im_end|>")).sum()
    assert rows.ids.shape == (8, packing.ROW_TOKENS)
    assert ((rows.weight > 0) <= (rows.document != packing.PADDING)).all()
    assert ends >= len({(i, d) for i, row in enumerate(rows.document) for d in row if d != packing.PADDING})


@pytest.mark.parametrize(
    ("answer", "reference", "points"),
    [
        ("129 元。", "129元", 1.0),
        ("１２９元", "129元", 1.0),
        ("-3", "3", 0.0),
        ("3.5", "35", 0.0),
        ("巴黎", "里昂", 0.0),
    ],
)
def test_exact_match_ignores_only_form(answer: str, reference: str, points: float):
    assert exact_match(answer, [reference]) == points


def test_rouge_l_is_the_character_f1_of_the_longest_common_subsequence():
    assert rouge_l("今天下雨", "今天不下雨") == pytest.approx(2 * 4 / 9)
    assert rouge_l("", "今天") == 0.0


def test_generators_are_seeded():
    one, two = ([c.messages for c in islice(stream(seed=3), 50)] for _ in range(2))
    assert one == two
    assert names.stem(Random(1), "teach") == names.stem(Random(1), "teach")

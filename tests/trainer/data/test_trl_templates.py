"""Every chat template that the pinned TRL ships is rendered and masked, or refused for what it cannot do."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from configs.errors import ConfigError
from tests.trainer.tokenizers_for_tests import QWEN25, qwen3_tokenizer_folder, with_template
from trainer.data.template import IGNORED, ChatCodec, Unrenderable, join_turns, render_turn

MARKS = re.compile(r"<\|?[a-zA-Z_]+\|?>|<\|[^|<>\n]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|\[/?[a-zA-Z_]{3,20}\]|</think>")
"""What the templates write as tokens of their own: the tokenizer of each family has them."""

USER = {"role": "user", "content": "门锁的保修期是多久？"}
ANSWER = {"role": "assistant", "content": "门锁保修三年。"}
MORE = {"role": "user", "content": "可以延长吗？"}
LAST = {"role": "assistant", "content": "可以再加一年。"}
REASON = {"reasoning_content": "说明书第三页写着。"}

NO_TURN_END = "writes no end-of-turn token after an answer"
IMAGES = "cannot render a question and an answer"
REFUSED = {
    "glm4moe": NO_TURN_END,  # the next turn's mark ends this one, and a conversation may end with the answer
    # They ask for content as a list of texts and images.
    "idefics3": NO_TURN_END, "idefics3_training": NO_TURN_END, "smolvlm": NO_TURN_END, "smolvlm_training": NO_TURN_END,
    "llava_next": IMAGES, "llava_next_training": IMAGES,
}  # fmt: skip
"""Templates under which nothing can be trained, with the reason."""

DROPPED = {
    # The prompt opens a think block, and the reasoning is left out behind it.
    "deepseek_r1_distill": "not_a_continuation", "deepseek_r1_distill_training": "not_a_continuation",
    "deepseekv3": "not_a_continuation", "deepseekv3_training": "not_a_continuation",
    # Headings before the answer, which a client never sees: `final`, ` to=user`.
    "gptoss": "answer_changed", "gptoss_training": "answer_changed",
    "muse_glimmer": "answer_changed", "muse_glimmer_training": "answer_changed",
}  # fmt: skip
"""Templates whose rows are dropped in every mode, with the reason that they are counted under."""

NO_REASONING = {
    "gemma4", "gemma4_v2", "gemma4_v3", "gemma4_v4", "gemma4_v5", "diffusion_gemma", "diffusion_gemma_training",
}  # fmt: skip
"""Templates that leave reasoning out, or write it in a channel of their own, which is no think block."""


def shipped() -> list[Path]:
    trl = find_spec("trl")
    return sorted(Path(trl.origin).parent.glob("chat_templates/*.jinja")) if trl and trl.origin else []


@pytest.fixture(scope="module")
def every_mark(tmp_path_factory: pytest.TempPathFactory) -> ChatCodec:
    """Qwen3's tokenizer with the marks of all families; each template is tried with it."""
    own = json.loads((qwen3_tokenizer_folder() / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    written = dict.fromkeys(mark for file in shipped() for mark in MARKS.findall(file.read_text(encoding="utf-8")))
    fresh = ("<bos>", *(mark for mark in written if mark not in {token["content"] for token in own}))
    folder = tmp_path_factory.mktemp("families") / "all"
    return ChatCodec.load(with_template(folder, QWEN25, tuple(dict.fromkeys(fresh)), bos="<bos>"))


@pytest.mark.parametrize("file", shipped(), ids=lambda file: file.stem)
def test_a_template_is_masked_or_refused_with_its_reason(file: Path, every_mark: ChatCodec) -> None:
    template = file.read_text(encoding="utf-8")
    if file.stem in REFUSED:
        with pytest.raises(ConfigError, match=REFUSED[file.stem]):
            every_mark.with_template(template)
        return
    found = every_mark.with_template(template)
    modes = {"none": [False], "switchable": [False, True], "always": [True]}[found.facts.family]
    for thinking in modes:
        first, last = ({**ANSWER, **REASON}, {**LAST, **REASON}) if thinking else (ANSWER, LAST)
        messages = [USER, first, MORE, last]
        reason = DROPPED.get(file.stem) or ("answer_changed" if thinking and file.stem in NO_REASONING else None)
        if reason:
            with pytest.raises(Unrenderable, match=reason):
                render_turn(found, messages, 3, thinking=thinking)
            continue
        turns = [render_turn(found, messages, index, thinking=thinking) for index in (1, 3)]
        for turn, messages_before, message in zip(turns, ([USER], messages[:3]), (first, last), strict=True):
            assert turn.thinking == thinking
            assert turn.prompt_ids == served(found, messages_before, thinking)
            assert turn.answer_ids[-1] == found.facts.end_token_id
            assert turn.answer_ids.count(found.facts.end_token_id) == 1
            written = found.tokenizer.decode(turn.answer_ids[:-1])
            assert written.endswith(message["content"])
            assert (REASON["reasoning_content"] in written) == thinking
        for row in join_turns(turns):
            trained = row.labels != IGNORED
            assert (row.labels[trained] == row.input_ids[trained]).all()
            text = found.tokenizer.decode(row.input_ids[trained])
            assert USER["content"] not in text
            assert MORE["content"] not in text


def served(codec: ChatCodec, messages: list[dict[str, str]], thinking: bool) -> list[int]:
    """Prompt ids as a server makes them: the template's text, encoded as a whole."""
    text = codec.tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking
    )
    return codec.tokenizer.encode(text, add_special_tokens=False)


def test_every_exception_is_one_that_trl_ships() -> None:
    names = {file.stem for file in shipped()}
    assert names >= {*REFUSED, *DROPPED, *NO_REASONING} or not names

"""What people call the columns, message keys and speakers of their data, in English and Chinese.

Training and evaluation read rows of the same authors, so both look names up here. A name is compared without case,
spacing, underscores and hyphens: `system_prompt`, `System Prompt` and `systemPrompt` are one name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from configs.tables.spelling import nfkc

Part = Literal[
    "messages", "system", "instruction", "question", "input", "context", "history", "answer", "chosen", "rejected",
    "reasoning", "tools", "label", "flag", "reversed_flag", "media", "segments",
]  # fmt: skip
"""What a column can be for a training row; what each means stands in docs/data.md."""
Speaker = Literal["system", "user", "assistant", "tool", "call"]
"""Who speaks in a message; `call` is an assistant that calls functions."""

COLUMNS: dict[Part, str] = {
    "messages": """messages conversations conversation dialogue dialog dialogues dialogs chat chats turns rounds items
        message_list 对话 多轮对话 消息 会话 聊天记录 对话内容""",
    "system": """system system_prompt system_message system_instruction system_instructions system_content sys
        sys_prompt meta_instruction 系统 系统提示 系统提示词 系统消息 系统指令 系统角色 系统设定""",
    "instruction": """instruction instructions instruct task_instruction task_description 指令 任务指令 任务描述""",
    "question": """question prompt query problem user human user_prompt user_input user_query user_question
        user_message user_content question_text ask q 问题 提问 题目 用户 用户输入 用户问题 用户提问 问 提示 提示词""",
    "input": "input inputs input_text 输入 输入内容",
    "context": """context contexts passage passages document documents docs article paragraph background
        background_info material materials knowledge evidence excerpt source_text source_document
        retrieved_context retrieved_documents reference_text 上下文 文章 短文 段落 背景 背景知识 背景资料 材料
        阅读材料 原文 文档 资料 参考资料 参考内容 参考文档 知识""",
    "history": """history histories chat_history dialog_history dialogue_history conversation_history
        previous_turns 历史 历史对话 对话历史 历史记录 历史消息""",
    "answer": """output outputs response responses answer answers completion completions reply target assistant gpt bot
        solution summary response_text answer_text model_response model_output assistant_response assistant_content
        bot_response best_answer final_answer gold_answer reference_answer ground_truth expected_output
        expected_answer output_text target_text target_output a 答案 回答 回复 输出 输出内容 答 应答 参考答案 标准答案
        模型回答 模型输出 助手 摘要""",
    "chosen": """chosen chosen_response chosen_answer chosen_messages preferred preferred_response accepted
        accepted_response better better_response win positive_response preferred_output
        response_chosen answer_chosen 优选 优选回答 正例""",
    "rejected": """rejected rejected_response rejected_answer rejected_messages rejected_responses reject
        dispreferred non_preferred unpreferred worse worse_response lose negative_response
        non_preferred_output response_rejected answer_rejected 拒绝 拒绝回答 劣选
        劣选回答 负例""",
    "reasoning": """reasoning_content reasoning thinking think thought thoughts cot complex_cot chain_of_thought
        chain_of_thoughts rationale reasoning_process reasoning_trace reasoning_text thought_process
        thinking_process thinking_content thinking_trajectory thinking_trajectories think_content inner_thoughts
        model_reasoning deepseek_reasoning deepseek_thinking_trajectory 思考 思考过程 思考内容 推理 推理过程 思维链
        思维过程""",
    "tools": "tools functions tool_list function_list available_tools tools_schema 工具 工具列表",
    "label": "label kto_tag kto_label desirable is_desirable",
    "flag": """loss weight train training trainable train_on_turn is_train is_trainable learn loss_mask loss_weight
        loss_scale compute_loss train_detail training_detail 训练 是否训练""",
    "reversed_flag": "mask masked is_masked no_loss ignore ignored exclude excluded skip no_train",
    "media": """image images image_path image_paths image_url image_urls img imgs picture pictures video videos
        video_path video_paths audio audios audio_path audio_paths 图片 图像 视频 音频""",
    "segments": "segments",
}
"""Names of each part; where a row holds different texts in several names of one part, its author must say which."""

SPEAKERS: dict[Speaker, str] = {
    "system": "system developer 系统 系统提示 系统提示词",
    "user": "user human prompter usr questioner customer client 用户 人类 提问者 提问 问 客户 顾客",
    "assistant": """assistant gpt chatgpt bing bard model bot ai chatbot moss agent gpt_4 gpt4 claude qwen deepseek 助手
        助理 机器人 客服 答 回答 模型""",
    "tool": """tool observation function function_response function_result tool_response tool_result tool_results
        tool_output ipython 工具 工具结果 工具返回 观察 观察结果""",
    "call": "function_call tool_call tool_calls function_calls 工具调用 函数调用",
}
"""Names of each speaker."""

ROLE_KEYS = "role from speaker sender author who 角色 发言人 说话人"
CONTENT_KEYS = "content value text message utterance contents parts msg 内容 文本 消息内容"
"""Keys of a message that say who speaks, and what."""


@lru_cache(maxsize=4096)
def name_key(name: str) -> str:
    """A name as it is compared."""
    return re.sub(r"[\s_\-]+", "", nfkc(name)).casefold()


def _inverted(names: dict[str, str]) -> dict[str, str]:
    return {name_key(name): part for part, listed in names.items() for name in listed.split()}


_PART_OF: dict[str, str] = _inverted(COLUMNS)  # type: ignore[arg-type]
_SPEAKER_OF: dict[str, str] = _inverted(SPEAKERS)  # type: ignore[arg-type]
_ROLE_KEYS = {name_key(name) for name in ROLE_KEYS.split()}
_CONTENT_KEYS = {name_key(name) for name in CONTENT_KEYS.split()}


def part_of(column: str) -> Part | None:
    """What a column is for a row, by its name; None where the name says nothing."""
    return _PART_OF.get(name_key(column))  # type: ignore[return-value]


def speaker_of(role: str) -> Speaker | None:
    """Who speaks, by the role's name; None for a name that nobody uses for one of them."""
    return _SPEAKER_OF.get(name_key(role))  # type: ignore[return-value]


def is_role_key(key: str) -> bool:
    """Whether a message's key says who speaks."""
    return name_key(key) in _ROLE_KEYS


def is_content_key(key: str) -> bool:
    """Whether a message's key says what is spoken."""
    return name_key(key) in _CONTENT_KEYS

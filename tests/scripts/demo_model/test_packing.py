"""Packed rows hold whole conversations, of which the answers are trained."""

from itertools import islice

from scripts.demo_model import packing
from scripts.demo_model.conversations import stream


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

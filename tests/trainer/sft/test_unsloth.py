"""What the recorder relies on inside Unsloth, TRL and transformers is there in the installed versions.

Unsloth's own layers cannot be imported without a GPU, so that their source is read.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from pathlib import Path

import pytest

from trainer.sft.unsloth import HIDDEN_STATES


def source_of(module: str) -> str:
    package, _, rest = module.partition(".")
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0], *rest.split(".")).with_suffix(".py").read_text(encoding="utf-8")


def function(module: str, name: str) -> ast.FunctionDef:
    every = [n for n in ast.walk(ast.parse(source_of(module))) if isinstance(n, ast.FunctionDef) and n.name == name]
    assert every, f"{module} has no function {name} any more"
    return every[0]


def test_attention_goes_through_one_function_that_can_be_replaced() -> None:
    found = function("unsloth.utils.attention_dispatch", "_run_attention")
    assert {a.arg for a in [*found.args.args, *found.args.kwonlyargs]} >= {"config", "context", "Q", "K", "V"}
    assert "_run_attention(config = config" in ast.get_source_segment(
        source_of("unsloth.utils.attention_dispatch"), function("unsloth.utils.attention_dispatch", "run_attention")
    )  # type: ignore[operator]


def test_a_mask_is_dropped_in_training_and_keeps_the_positions_from_being_read() -> None:
    forward = ast.get_source_segment(
        source_of("unsloth.models.llama"), function("unsloth.models.llama", "LlamaModel_fast_forward")
    )
    assert forward is not None
    looked, dropped = forward.index("attention_mask is None"), forward.index("attention_mask = None")
    assert looked < forward.index("get_packed_info_from_kwargs(kwargs, position_ids.device, position_ids)") < dropped
    assert 'getattr(self, "_has_no_labels", False)' in forward


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("unsloth.utils.packing", "mark_allow_overlength"),
        ("unsloth.kernels.cross_entropy_loss", "fast_cross_entropy_loss"),
        ("unsloth.models._utils", "skip_checkpointing"),
    ],
)
def test_functions_that_are_called_exist(module: str, name: str) -> None:
    assert function(module, name)


def test_the_model_hands_out_its_hidden_states_in_the_place_of_the_logits() -> None:
    forward = ast.get_source_segment(
        source_of("unsloth.models.llama"), function("unsloth.models.llama", "_CausalLM_fast_forward")
    )
    assert forward is not None
    asked = forward.index(f'os.environ.get("{HIDDEN_STATES}", "0") == "1"')
    # Behind the decoder, before the output layer.
    assert forward.index("hidden_states = outputs[0]") < asked < forward.index("logits = hidden_states,")
    assert forward.index("logits = hidden_states,") < forward.index("self.lm_head(hidden_states")
    assert f'"{HIDDEN_STATES}", "0") == "1"' in source_of("unsloth.models.mistral")


def test_a_training_step_takes_its_loss_where_it_is_replaced_and_scales_it_no_further() -> None:
    from transformers import Trainer

    step = inspect.getsource(Trainer.training_step)
    assert "self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)" in step
    assert "not self.model_accepts_loss_kwargs or num_items_in_batch is None" in step


def test_names_that_are_set_and_read_are_still_the_librarys() -> None:
    for module, name in (
        ("unsloth.models._utils", '"_unsloth_skip_checkpoint"'),
        ("unsloth.models.llama", "apply_lora_qkv"),
        ("unsloth.models.llama", "apply_lora_mlp"),
    ):
        assert name in source_of(module), name
    spellings = [source_of(m) for m in ("unsloth.trainer", "unsloth.models.rl", "unsloth.utils.packing")]
    assert any("_unsloth_truncated_to" in text for text in spellings)


def test_the_trainer_clips_and_steps_where_the_recorded_update_stands() -> None:
    from transformers import Trainer

    loop = inspect.getsource(Trainer._run_epoch)
    order = [
        loop.index(part) for part in ("self._clip_grad_norm(model)", "self._get_grad_norm(", "self.optimizer.step()")
    ]
    assert order == sorted(order)
    assert "optimizer_cls_and_kwargs" in inspect.signature(Trainer.__init__).parameters


def test_the_collator_has_the_method_that_is_watched() -> None:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    assert callable(DataCollatorForLanguageModeling.torch_call)

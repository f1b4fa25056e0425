"""Which adapters can stand beside, or be merged into, the base as it was before their training."""

from __future__ import annotations

from pathlib import Path

from configs.errors import ConfigError

PLAIN_INITS = ("gaussian", "eva", "orthogonal", "mica")
"""Values of PEFT's `init_lora_weights`, beside true and false, that leave the base weights alone.

All others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) move a part of the base into the adapter before the first step. Added
to the original base, their result counts it twice. LoRA-GA is one of them although PEFT and vLLM load what it saved
as plain LoRA: what they load is then another model than the one that was trained.
"""


def require_plain_init(file: Path, init: object) -> None:
    """Raises a ConfigError where an adapter's training began by changing the base.

    Args:
        file: its adapter_config.json.
        init: `init_lora_weights` in it; PEFT's default where it is missing.
    """
    if isinstance(init, str) and init.lower() not in PLAIN_INITS:
        raise ConfigError(
            f"{file}: init_lora_weights is {init!r}: its training changed the base too, so the adapter on the "
            "original base is another model",
            "convert it with PEFT (save_pretrained's path_initial_model_for_weight_conversion), or train without it",
        )

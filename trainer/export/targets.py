"""Whether an adapter's tensors are those that its adapter_config.json speaks of, by PEFT's own matching.

PEFT leaves out tensors that the configuration does not target and keeps the base where tensors are missing, with a
warning at most. Either way the two files are not of one training, and what would be merged is nobody's model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists

from configs.errors import TuneserveError
from configs.model.adapter_weights import spellings
from configs.process.limits import OutOfTime, limits

PATTERN_SECONDS, PATTERN_BYTES = 5.0, 1 << 30
"""Processor time and memory for one pattern on one name, which takes microseconds."""
_Found = TypeVar("_Found")
_ONE_TRAINING = "the two files do not belong together: take both from the same training run"
_INCOMPLETE = "the adapter file is incomplete: save it again"


def matched(config: LoraConfig, module: str, match: Callable[[], _Found]) -> _Found:
    """What PEFT finds when it matches patterns of adapter_config.json, which are a stranger's, with a layer's name."""
    try:
        return limits.run(match, PATTERN_SECONDS, PATTERN_BYTES)
    except (OutOfTime, MemoryError) as error:
        patterns = [config.target_modules, config.exclude_modules, *config.rank_pattern, *config.alpha_pattern]
        shown = ", ".join(pattern for pattern in patterns if isinstance(pattern, str))
        raise TuneserveError(
            f"adapter_config.json: its patterns ({shown[:200]}) could not be matched with {module} in "
            f"{PATTERN_SECONDS:g} s of processor time",
            "name the layers in target_modules, rank_pattern and alpha_pattern instead",
        ) from error


def require_agreement(
    config: LoraConfig, layers: Mapping[str, str], trained: Collection[str], base: Collection[str], tied: set[str]
) -> None:
    """Raises a TuneserveError where the tensors of an adapter are not those that its configuration names.

    Args:
        config: adapter_config.json.
        layers: base tensor to the layer that has a low-rank update for it, as the adapter spells it.
        trained: base tensors that the adapter replaces, and biases that it changes.
        base: names of all tensors of the base.
        tied: names of an embedding and an output head that share a tensor.
    """
    for module in layers.values():
        if not any(_is_target(config, spelling) for spelling in spellings(module)):
            raise TuneserveError(
                f"adapter_config.json does not target layer {module} (target_modules, exclude_modules, "
                "layers_to_transform), but the adapter has tensors for it",
                _ONE_TRAINING,
            )
    kinds = {re.sub(r"\d+", "#", name) for name in layers}
    for name in base:
        if name in layers or re.sub(r"\d+", "#", name) not in kinds:
            continue
        module = name.removesuffix(".weight")
        if _is_target(config, module):
            raise TuneserveError(
                f"adapter_config.json targets layer {module}, but the adapter has no tensors for it", _INCOMPLETE
            )
    for saved in config.modules_to_save or ():
        named = {name for name in base if matched(config, name, partial(re.match, rf"(^|.*\.){saved}($|\..*)", name))}
        if named & tied:
            named |= tied
        if named and named.isdisjoint(trained):
            raise TuneserveError(
                f"adapter_config.json says that {saved} was trained as a whole (modules_to_save), but the adapter has "
                "no tensors for it",
                _INCOMPLETE,
            )


def _is_target(config: LoraConfig, module: str) -> bool:
    if config.target_modules is None:
        return False
    return bool(matched(config, module, partial(check_target_module_exists, config, module)))

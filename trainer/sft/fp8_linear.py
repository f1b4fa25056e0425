"""A frozen linear layer whose weight is held in FP8, and how a model is loaded with such layers.

A model is loaded tensor by tensor: a weight is rounded as soon as it is on the device, so that the 16-bit model is
never there at once. The output layer, the embeddings and the norms stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.core_model_loading import ConversionOps
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.quantizers.quantizers_utils import get_module_from_name, should_convert_module
from transformers.utils.quantization_config import QuantizationConfigMixin

from trainer.sft.fp8 import E4M3, product, round_rows, turned

METHOD = "tuneserve_fp8"
"""The name under which transformers finds the way of loading."""


class Fp8Linear(torch.nn.Linear):
    """A linear layer with a frozen `weight` in e4m3, (outputs, inputs), and `weight_scale` in fp32, (outputs, 1)."""

    weight_scale: torch.Tensor
    compute_dtype: torch.dtype
    """Of what goes in and comes out; PEFT makes its adapters by it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As a linear layer does; the input is rounded for the product, and so is the gradient on its way back."""
        flat = x.reshape(-1, x.shape[-1]).to(self.compute_dtype)
        out: torch.Tensor = _Fp8Product.apply(flat, self.weight, self.weight_scale)
        if self.bias is not None:
            out = out + self.bias
        return out.view(*x.shape[:-1], -1)

    @classmethod
    def take_over(cls, linear: torch.nn.Linear) -> None:
        """Makes a linear layer whose weight is still to be loaded one of this kind."""
        linear.compute_dtype = linear.weight.dtype
        scales = torch.empty(linear.out_features, 1, dtype=torch.float32, device=linear.weight.device)
        linear.register_buffer("weight_scale", scales)
        linear.__class__ = cls


class _Fp8Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        ctx.weight, ctx.scales = weight, scales
        return product(*round_rows([x]), weight, scales, x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        rounded = round_rows([gradient], ctx.scales.flatten())
        return product(*rounded, turned(ctx.weight), None, gradient.dtype), None, None


@register_quantization_config(METHOD)
class Fp8Config(QuantizationConfigMixin):
    """Asks transformers for `Fp8Linear` in the place of every linear layer but the output layer."""

    def __init__(self, **_: Any) -> None:
        self.quant_method = METHOD


@register_quantizer(METHOD)
class Fp8Loading(HfQuantizer):
    """Rounds each weight as it is loaded; the model that comes out counts as an ordinary one."""

    quantization_config: Fp8Config

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> Any:
        kept = self.get_modules_to_not_convert(model)
        for name, module in model.named_modules():
            if type(module) is torch.nn.Linear and should_convert_module(name, kept):
                Fp8Linear.take_over(module)
        return model

    def param_needs_quantization(self, model: Any, param_name: str, **_: Any) -> bool:
        """See `HfQuantizer`."""
        module, name = get_module_from_name(model, param_name)
        return isinstance(module, Fp8Linear) and name == "weight"

    def param_element_size(self, model: Any, param_name: str, param: torch.Tensor) -> float:
        """See `HfQuantizer`."""
        return 1.0 if self.param_needs_quantization(model, param_name) else param.element_size()

    def get_quantize_ops(self) -> ConversionOps:
        """See `HfQuantizer`."""
        return _RoundWeight()

    def postprocess_model(self, model: Any, **_: Any) -> Any:
        """Takes the marks of a quantized model off again: libraries take those for formats that they know."""
        self.remove_quantization_config(model)
        return model

    def is_serializable(self) -> bool:
        """See `HfQuantizer`."""
        return False

    @property
    def is_trainable(self) -> bool:
        """See `HfQuantizer`."""
        return True


class _RoundWeight(ConversionOps):
    def convert(self, input_dict: dict[str, Any], **_: Any) -> dict[str, Any]:
        """{name of a weight: [weight]} to the rounded weight and its scales."""
        ((name, value),) = input_dict.items()
        rounded, scales = round_rows([value[0] if isinstance(value, list) else value])
        return {name: torch.nn.Parameter(rounded, requires_grad=False), f"{name}_scale": scales}


def is_fp8(module: torch.nn.Module) -> bool:
    """Whether a linear layer holds its weight in FP8."""
    return isinstance(module, Fp8Linear) and module.weight.dtype == E4M3

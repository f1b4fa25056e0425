"""Environment that must stand before `unsloth` is imported: nothing calls home, nothing litters the folder."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

from configs.cache.folder import private_folder
from configs.machine import pins

PACKAGES = ("unsloth", "unsloth_zoo", "torch", "transformers", "trl", "peft")
"""Packages whose version decides what a training run gives."""


_OTHER_SETUPS = ("ACCELERATE_", "FSDP_", "PARALLELISM_CONFIG_", "SM_")
"""Beginnings of variables by which `accelerate launch` and SageMaker set up a training; here the recipe does."""


def settle(cache: Path) -> None:
    """Sets them for this process; call it before anything of the training stack is imported.

    The model is a local folder by now, so the hub libraries are told to stay offline. Unsloth writes the trainers that
    it compiles into a folder of the working directory, and torch its kernels into one of the temporary folder whose
    name everybody knows; both run what they find there, so that they are given folders in `cache`.

    Raises:
        ConfigError: those folders belong to somebody else.
    """
    quiet()
    for name in [name for name in os.environ if name.startswith(_OTHER_SETUPS)]:
        del os.environ[name]
    if "WORLD_SIZE" not in os.environ:  # left by a launcher that tells of no others
        os.environ.pop("LOCAL_RANK", None)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(private_folder(cache / "torchinductor")))
    os.environ |= {
        "UNSLOTH_DISABLE_STATISTICS": "1",
        "UNSLOTH_COMPILE_LOCATION": str(private_folder(cache / "unsloth_compiled")),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    # Trainer and server share this environment and never a process. Unsloth would load every compiled library of an
    # installed vLLM to see whether it is broken, and one made for another processor ends the process at once.
    sys.modules["vllm"] = None  # type: ignore[assignment]
    # Threads that spin while they wait make a step ten times slower as soon as another process wants a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def quiet() -> None:
    """Warnings that the user can do nothing about: a tokenizer's pattern as its makers wrote it, others' source code.

    And code of a hub, which libraries fetch and run as they are imported, where the package `kernels` is installed.
    In the environment too, for the processes that tokenize; `TRANSFORMERS_VERBOSITY` set by the user stays.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Its kernels serve CUDA devices and models that are not trained here; it warns of each that it cannot load.
    os.environ["TORCHAO_FORCE_SKIP_LOADING_SO_FILES"] = "1"
    sys.modules["kernels"] = None  # type: ignore[assignment]
    warnings.filterwarnings("ignore", category=SyntaxWarning)
    for name in ("torchao", "torch.utils._pytree", "bitsandbytes.backends.cpu.ops"):
        logging.getLogger(name).setLevel(logging.ERROR)


def without_torch() -> None:
    """Has this process do without torch, which transformers imports for a tokenizer too: three seconds and more.

    For the main module of a process that only tokenizes: nothing in it can import torch any more.
    """
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]


def versions() -> dict[str, str]:
    """Installed versions of PACKAGES, read from their metadata without importing them."""
    return pins.versions(PACKAGES)

"""What each tool is given, as text: a script, a Slurm job, a SkyPilot task."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import jinja2

from configs.errors import ConfigError
from configs.recipe.schema import RunConfig

Tool = Literal["torchrun", "slurm", "skypilot", "ray"]
TOOLS: tuple[Tool, ...] = get_args(Tool)
PORT = 29500
"""Where torchrun's processes meet on the first machine."""

_FILES: dict[Tool, tuple[str, str]] = {
    "torchrun": ("train.sh.j2", "{name}-train.sh"),
    "slurm": ("job.sbatch.j2", "{name}.sbatch"),
    "skypilot": ("sky.yaml.j2", "{name}-sky.yaml"),
    "ray": ("serve_ray.sh.j2", "{name}-serve.sh"),
}
"""The template of each tool, and the name of the file that is written."""


@dataclass(frozen=True)
class ClusterFile:
    """One file."""

    tool: Tool
    """Whom it is for."""
    name: str
    """Its name."""
    text: str
    """Its content."""


def cluster_file(recipe: RunConfig, file: Path, tool: Tool, nodes: int, gpus: int, sky_gpu: str) -> ClusterFile:
    """The file for a tool.

    Args:
        recipe: the resolved recipe.
        file: the recipe's own file, as the machines find it.
        tool: which one.
        nodes: machines.
        gpus: GPUs of each.
        sky_gpu: SkyPilot's name of the GPU.

    Raises:
        ConfigError: the recipe cannot be trained or served so, or a name would write lines of its own.
    """
    if tool != "ray" and recipe.train.method == "full":
        raise ConfigError(
            "train.method is full: several GPUs train an adapter, each with the whole model",
            "set train.method=lora, or train on one GPU",
        )
    for key, value in (("the recipe's file", str(file)), ("output_dir", recipe.output_dir)):
        if not value.isprintable():
            raise ConfigError(f"{key} is {value!r}: a script of several lines would come of it", "take another name")
    if not re.fullmatch(r"[\w.-]+", sky_gpu):
        raise ConfigError(f"--sky-gpu {sky_gpu}: no name of a GPU", "`sky gpus list` shows SkyPilot's names")
    template, name = _FILES[tool]
    written = name.format(name=recipe.name)
    text = _environment().get_template(template).render(
        recipe=recipe, file=written, nodes=nodes, gpus=gpus, sky_gpu=sky_gpu,
        run=Path(recipe.output_dir) / recipe.name, torchrun=torchrun_line(recipe, file, nodes, gpus),
        serve=serve_line(recipe, nodes, gpus),
    )  # fmt: skip
    return ClusterFile(tool, written, text)


def torchrun_line(recipe: RunConfig, file: Path, nodes: int, gpus: int) -> str:
    """What starts the training on each machine, `$HEAD` being the first one's address."""
    train = shlex.join(["tuneserve", "train", str(file)])
    name = shlex.quote(recipe.name)
    if nodes == 1:
        return f"torchrun --standalone --nproc-per-node={gpus} --no-python {train}"
    return (
        f"torchrun --nnodes={nodes} --nproc-per-node={gpus} --rdzv-id={name} --rdzv-backend=c10d "
        f'--rdzv-endpoint="$HEAD:{PORT}" --no-python {train}'
    )


def serve_line(recipe: RunConfig, nodes: int, gpus: int) -> str:
    """What serves the trained model on a Ray cluster: a machine's GPUs share each layer, the machines the stack."""
    run = str(Path(recipe.output_dir) / recipe.name)
    sizes = [f"serve.tensor_parallel_size={gpus}", f"serve.pipeline_parallel_size={nodes}"]
    return shlex.join(["tuneserve", "serve", run, *sizes, "--", "--distributed-executor-backend", "ray"])


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("scripts", "cluster"), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )

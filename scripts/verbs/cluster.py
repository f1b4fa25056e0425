"""`tuneserve cluster`: what torchrun, Slurm, SkyPilot or Ray need to run a recipe on several machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from configs.disk.files import write_for_user
from configs.errors import ConfigError, TuneserveError
from configs.recipe.load import load_config
from configs.terminal.console import console, note


def cluster(
    config: Annotated[Path, typer.Argument(help="The recipe.")],
    to: Annotated[str, typer.Option("--to", help="Whom it is for: torchrun, slurm, skypilot or ray.")] = "torchrun",
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Machines.")] = 2,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="GPUs of each.")] = 8,
    sky_gpu: Annotated[str, typer.Option("--sky-gpu", help="SkyPilot's name of the GPU.")] = "H100",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write what runs the recipe on several machines, and have the tools check it.

    `tuneserve cluster qwen3-14b-h100.yaml --nodes 2 --gpus 8 --to slurm`
    """
    from scripts.cluster.checks import checked
    from scripts.cluster.files import TOOLS, cluster_file

    resolved = load_config(config, [])
    tool = next((name for name in TOOLS if name == to), None)
    if tool is None:
        raise ConfigError(f"--to {to}: no such tool here", f"take one of {', '.join(TOOLS)}")
    file = cluster_file(resolved, config, tool, nodes, gpus, sky_gpu)
    target = out / file.name
    if target.exists() and not force:
        raise ConfigError(f"{target} exists", "give another folder with --out, or overwrite it with --force")
    out.mkdir(parents=True, exist_ok=True)
    write_for_user(target, file.text)
    console.print(f"wrote {target}")
    verdicts = checked(target, tool)
    for good, said in verdicts:
        note(said, good)
    if any(good is False for good, _ in verdicts):
        raise TuneserveError(f"{target}: not taken by the tool that it is for", "look at what it says above")

"""What is written for torchrun, Slurm, SkyPilot and Ray says how many machines and GPUs, and is what the tools take."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from configs.errors import ConfigError
from configs.recipe.load import load_config
from configs.recipe.schema import RunConfig
from scripts.cluster.checks import checked
from scripts.cluster.files import TOOLS, Tool, cluster_file

RECIPE = Path(__file__).parents[3] / "configs" / "qwen3-14b-h100.yaml"


def recipe(*overrides: str) -> RunConfig:
    return load_config(RECIPE, ["name=my-shop", *overrides])


def text(tool: Tool, nodes: int = 2, gpus: int = 4) -> str:
    return cluster_file(recipe(), Path("my shop.yaml"), tool, nodes, gpus, "H100").text


@pytest.mark.parametrize(("tool", "nodes"), [("torchrun", 1), *((tool, 2) for tool in TOOLS)])
def test_the_tools_take_what_is_written(tool: Tool, nodes: int, tmp_path: Path) -> None:
    written = cluster_file(recipe(), Path("my shop.yaml"), tool, nodes, 4, "H100")
    file = tmp_path / written.name
    file.write_text(written.text, encoding="utf-8")
    verdicts = checked(file, tool)
    assert not [said for good, said in verdicts if good is False]
    assert any(good for good, _ in verdicts)


def test_a_line_that_torchrun_does_not_take_is_said(tmp_path: Path) -> None:
    file = tmp_path / "train.sh"
    file.write_text(text("torchrun").replace("--nnodes=2", "--nodes=2"), encoding="utf-8")
    assert [good for good, said in checked(file, "torchrun") if "torchrun" in said] == [False]
    file.write_text(text("ray") + "if then\n", encoding="utf-8")
    assert [good for good, said in checked(file, "ray") if "bash" in said] == [False]


def test_every_machine_starts_the_same_training() -> None:
    lines = {tool: next(line for line in text(tool).splitlines() if "torchrun --" in line) for tool in TOOLS[:3]}
    for line in lines.values():
        words = shlex.split(line)
        assert words[-3:] == ["tuneserve", "train", "my shop.yaml"]
        assert {"--nnodes=2", "--nproc-per-node=4", "--rdzv-endpoint=$HEAD:29500", "--no-python"} <= set(words)
    assert "--standalone" in text("torchrun", nodes=1)


@pytest.mark.parametrize(("tool", "what"), [("torchrun", ""), ("ray", "worker"), ("ray", "serve")])
def test_what_a_script_starts_ends_with_it(tool: Tool, what: str, tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text(text(tool), encoding="utf-8")
    for name in ("torchrun", "ray", "tuneserve"):
        (tmp_path / name).write_text("#!/bin/sh\necho $$\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HEAD": "10.0.0.1"}
    with subprocess.Popen(["bash", tmp_path / "job.sh", what], env=environ, stdout=-1) as script:
        assert script.communicate()[0] == b"%d\n" % script.pid


def test_slurm_gets_a_task_a_machine_with_all_of_its_gpus() -> None:
    asked = dict(re.findall(r"#SBATCH --([a-z-]+)=(\S+)", text("slurm")))
    assert asked["nodes"] == "2"
    assert asked["ntasks-per-node"] == "1"
    assert asked["gpus-per-node"] == "4"
    assert asked["job-name"] == "my-shop"


def test_the_first_of_very_many_machines_is_found() -> None:
    machines = "scontrol() { seq -f host%g 20000; }; srun() { echo $HEAD; }"
    job = subprocess.run(
        ["bash", "-c", f"{machines}\n{text('slurm')}"],
        env=os.environ | {"SLURM_JOB_NODELIST": ""},
        stdout=-1,
        check=True,
    )
    assert job.stdout == b"host1\n"


def test_skypilots_task() -> None:
    task = yaml.safe_load(text("skypilot"))
    assert task["num_nodes"] == 2
    assert task["resources"]["accelerators"] == "H100:4"
    assert "SKYPILOT_NODE_IPS" in task["run"]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("file", "output_dir", "sky_gpu"),
    [
        ("a\ntouch x\n.yaml", "runs", "H100"),
        ("a.yaml", "runs\ntouch x #", "H100"),
        ("a.yaml", "runs\rtouch x", "H100"),
        ("a.yaml", "runs", "H100\nsetup: touch x"),
        ("a.yaml", "runs", 'H100, x: "'),
    ],
)
def test_no_name_writes_a_line_of_its_own(tool: Tool, file: str, output_dir: str, sky_gpu: str) -> None:
    harmful = recipe().model_copy(update={"output_dir": output_dir})
    with pytest.raises(ConfigError, match=r"several lines|no name of a GPU"):
        cluster_file(harmful, Path(file), tool, 2, 4, sky_gpu)


def test_what_the_shell_would_run_in_a_name_stays_a_name() -> None:
    for tool in TOOLS:
        harmful = recipe().model_copy(update={"output_dir": "runs $(touch x) `touch x`"})
        written = cluster_file(harmful, Path("a;touch x #$(touch x).yaml"), tool, 2, 4, "H100").text
        commands = [line for line in written.splitlines() if "touch" in line and not line.startswith("#")]
        assert commands
        assert all(re.sub("'[^']*'", "", line).count("touch") == 0 for line in commands)


def test_ray_serves_over_machines_and_gpus() -> None:
    served = next(line for line in text("ray").splitlines() if "tuneserve serve" in line)
    assert "serve.tensor_parallel_size=4 serve.pipeline_parallel_size=2" in served
    assert "--distributed-executor-backend ray" in served


def test_whole_models_are_not_trained_on_several() -> None:
    with pytest.raises(ConfigError, match=r"train\.method is full"):
        cluster_file(recipe("train.method=full"), RECIPE, "slurm", 2, 4, "H100")

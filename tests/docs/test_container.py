"""Dockerfile and compose files: what they copy, call and name is there, and says what the code says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = ("FROM", "ARG", "RUN", "WORKDIR", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD")


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments), continuation lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line.strip()]


def test_every_instruction_is_known_and_what_is_copied_is_here_and_sent() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, arguments in instructions():
        assert name in INSTRUCTIONS
        if name == "COPY":
            for source in arguments.split()[:-1]:
                assert (ROOT / source).exists()
                assert source in sent
    copied = {word for name, arguments in instructions() if name == "COPY" for word in arguments.split()[:-1]}
    # What set-up hashes and installs must be in the image: every package of pyproject.toml.
    assert {"configs", "trainer", "serve", "eval", "scripts", "pyproject.toml", "README.md", "LICENSE"} <= copied


def test_the_image_runs_as_a_user_and_sets_up_without_looking_at_the_builders_card() -> None:
    text = " ".join(arguments for _, arguments in instructions())
    assert 'CUDA_VISIBLE_DEVICES="" TUNESERVE_DEVICE=' in text
    assert [arguments for name, arguments in instructions() if name == "USER"] == ["1000"]


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", ["compose.yaml", "serve/deploy/compose.yaml"])
def test_a_compose_file_opens_loopback_only_and_names_real_commands(file: str) -> None:
    services = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["services"]
    from typer.main import get_command

    from scripts.cli import app

    verbs = set(get_command(app).commands)  # type: ignore[attr-defined]
    for service in services.values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service["ipc"] == "host"
        if service["image"] == "tuneserve":
            assert service["command"][0] in verbs


@pytest.mark.parametrize("line", re.findall(r"^#   docker run .* tuneserve (.*)$", DOCKERFILE, re.MULTILINE))
def test_the_example_is_a_command(line: str) -> None:
    assert line.split()[0] == "run"

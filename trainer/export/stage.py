"""The stages `merge` and `gguf` of a run: whether there is anything to do is seen before the libraries are imported.

python -m trainer merge runs/NAME
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from configs.errors import TuneserveError
from configs.handover.base import read_rows
from configs.handover.rows import ParityRow
from configs.handover.training import PreparedFacts
from configs.model.files import weight_files
from configs.model.fingerprint import files_fingerprint, weights_fingerprint
from configs.recipe.schema import RunConfig
from configs.run.adapter_scale import adapter_scale, check_scale, require_stored, whole_weights
from configs.run.merged import adapter_hash, has_adapter, origin, require_base, require_trained, training
from configs.run.rundir import CARD, RunDir
from configs.terminal.console import again, done, shell, skipped
from trainer.export.new_folder import Export, shown_progress
from trainer.export.side_files import side_files_fingerprint


def merge_run(run: RunDir, config: RunConfig, force: bool = False) -> None:
    """The stage `merge` of a run: RUN/adapter into the run's base, to RUN/merged, and RUN/gguf where it is asked for.

    Raises:
        ConfigError: somebody's own file lies in RUN/merged.
        TuneserveError: the run has not been trained, or the merge failed.
    """
    if not has_adapter(run):
        if config.foreign and run.merged.is_dir():
            raise whole_weights(run)
        first = ("judge", run.path) if config.foreign else ("train", run.config_file)
        raise TuneserveError(f"{run.path}: has no adapter yet", shell("tuneserve", *first))
    require_trained(run)
    check_scale(config)
    facts = run.prepared()
    base, scale = facts.base_model, adapter_scale(run)
    require_base(run, base)
    require_stored(run, scale)
    inputs = {
        "adapter": adapter_hash(run),
        "base.weights": weights_fingerprint(base),
        "base.files": side_files_fingerprint(base),
        "end_token_id": facts.end_token_id,
        "merge.shard_gb": config.merge.shard_gb,
        "merge.scale": scale,
    }
    why = "forced" if force else run.changed_since("merge", inputs)
    if why is None:
        skipped("merge")
    else:
        again("merge", why)
        run.require_no_own_files("merge", run.merged)
        _merge_stage(run, config, facts, scale, inputs)
    if "gguf" in config.merge.formats:
        gguf_run(run, config, facts, force)


def gguf_run(run: RunDir, config: RunConfig, facts: PreparedFacts, force: bool = False) -> None:
    """The stage `gguf` of a run: RUN/merged to RUN/gguf/NAME-QUANT.gguf.

    Raises:
        ConfigError: somebody's own file lies in RUN/gguf.
        TuneserveError: the run has not been merged, or the file cannot be written.
    """
    quant = config.merge.gguf_quant
    if not (run.merged / "config.json").is_file():
        raise TuneserveError(f"{run.path}: has no merged weights yet", shell("tuneserve", "merge", run.path))
    trained = run.data / "parity.jsonl"
    inputs = {
        "merged.weights": weights_fingerprint(run.merged),
        "merged.files": side_files_fingerprint(run.merged),
        "end_token_id": facts.end_token_id,
        "quant": quant,
        "thinking": facts.thinking,
        "system": facts.system,
        "parity_rows": files_fingerprint([trained] if trained.is_file() else []),
    }
    if not force and run.changed_since("gguf", inputs) is None:
        skipped("gguf")
        return
    run.require_no_own_files("gguf", run.gguf)
    from trainer.data.template import ChatCodec
    from trainer.export.changes import index_weights
    from trainer.export.gguf import export_gguf
    from trainer.export.modelfile import modelfile, own_rows, write_modelfile
    from trainer.export.tensors import TensorReader

    with run.stage("gguf", inputs, [run.gguf]) as record, shown_progress("gguf") as on_progress:
        export = Export(run.merged, run.gguf, facts.end_token_id, on_progress=on_progress, redo=True)
        codec = ChatCodec.load(run.merged)
        rows = read_rows(trained, ParityRow, "data") if trained.is_file() else own_rows(codec, facts.thinking)

        def beside(folder: Path, file: str) -> None:
            text = modelfile(run.merged, file, codec, rows, thinking=facts.thinking, system=facts.system)
            write_modelfile(folder, text)

        result = export_gguf(TensorReader(index_weights(weight_files(run.merged))), export, config.name, quant, beside)
        record.figures = {"file": result.file.name, "size_gb": result.size_gb, "tensors": result.tensors}
        if (merge := run.read().stages.get("merge")) is not None:
            record.figures["made_of"] = origin(merge)
    done("gguf", run.read().stages["gguf"].seconds or 0.0, f"{result.file} ({result.size_gb:.2f} GB)")


def _merge_stage(run: RunDir, config: RunConfig, facts: PreparedFacts, scale: float, inputs: dict[str, Any]) -> None:
    from trainer.export.merge import merge_adapter
    from trainer.export.model_card import own_card

    with run.stage("merge", inputs, [run.merged]) as record, shown_progress("merge") as on_progress:
        export = Export(
            facts.base_model, run.merged, facts.end_token_id, config.merge.shard_gb, on_progress, redo=True,
            beside={CARD: card} if (card := own_card(run)) is not None else {},
        )  # fmt: skip
        result = merge_adapter(run.adapter, export, scale=scale)
        record.figures = {name: value for name, value in asdict(result).items() if name != "folder"} | {"scale": scale}
        if (trained := run.read().stages.get("train")) is not None:
            record.figures["training"] = training(trained)
    summary = (
        f"{result.changed} tensors changed, {result.copied} copied, {result.size_gb:.2f} GB "
        f"on the {result.device}, peak {result.peak_gb:.1f} GB"
    )
    if scale != 1:
        summary = f"{summary}; the adapter counts {scale:g} times as much"
    done("merge", run.read().stages["merge"].seconds or 0.0, summary)

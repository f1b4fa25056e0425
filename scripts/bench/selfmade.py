"""What `data.replay: self` costs and gives: seconds, tokens, usable shares and ten rows of a base that writes.

    python -m scripts.bench.selfmade MODEL --rows 1000 serve.gpu_memory_utilization=0.5
    python -m scripts.bench.selfmade SHAPE --dummy 512          # made-up weights: tokens a second only
    python -m scripts.bench.selfmade SHAPE --dummy 512 --scales # and what `merge.scale: auto` asks over them

A base with made-up weights never ends an answer.
`--scales` serves an adapter of zeros beside the base at every scale, and reads the answers just written as held-out
and as general ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.handover.rows import ProofAnswer
from configs.handover.selfmade import SelfMadeReport, SelfMadeRow
from configs.handover.wanted_rows import WantedRows
from configs.recipe.load import config_without_recipe
from configs.recipe.schema import SelfMadeConfig, ServeConfig
from configs.run.adapter_scale import SCALES
from configs.terminal.console import console, guarded
from eval.ask.endpoint import Endpoint, Settings
from eval.selfmade.draws import Draw, draw_block
from eval.selfmade.judging import Judge
from eval.selfmade.make import make
from eval.selfmade.overlap import Asked
from eval.selfmade.pool import Pool
from eval.selfmade.steering import system_prompt
from eval.selfmade.writer import Lengths, Writer
from scripts.run import scaling
from scripts.run.selfmade import connect
from scripts.run.serving import private_command, start_server
from serve.bench.blank_adapter import write_blank_adapter
from serve.launch.target import folder_target
from serve.process.server import VllmServer
from trainer.data.template import ChatCodec

_LOG = "serve.log"
_RANK = 16


class TimedWriter(Writer):
    """A writer that knows how many seconds what took."""

    seconds: defaultdict[str, float]

    def _ask(self, path: str, what: str, *more: Any) -> None:
        began = time.perf_counter()
        super()._ask(path, what, *more)
        self.seconds[what] += time.perf_counter() - began


def measure(
    model: Path, rows: int, languages: dict[str, float], dummy: int, serve: ServeConfig, seed: int, *, scaled: bool
) -> None:
    """Serves the model, has it write, and prints what came of it."""
    lengths, made_by = ChatCodec.load(model).facts, SelfMadeConfig()
    with tempfile.TemporaryDirectory() as folder:
        target = folder_target(model, dummy=bool(dummy))
        if scaled:
            names = [f"x{scale:g}" for scale in SCALES]
            adapters = (write_blank_adapter(name, target.weights, _RANK, Path(folder) / name) for name in names)
            target = replace(target, adapters=tuple(adapters))
        command = private_command(target, serve)
        server = start_server(command, Path(folder) / _LOG, serve.ready_timeout_s)
        try:
            console.print(f"ready after {server.ready_s:.0f} s")
            thinking = False if command.target.family == "switchable" else None
            writer = TimedWriter(
                connect=lambda: connect(server, thinking),
                pool=Pool(Path(folder) / "pool"),
                end_token_id=lengths.end_token_id,
                thinking=thinking,
                lengths=Lengths(made_by.question_tokens, made_by.answer_tokens, 4096),
                settings=Settings(concurrency=256),
                temperature=made_by.temperature,
            )
            writer.seconds = defaultdict(float)
            with writer:
                if dummy:
                    _write(writer, dummy, languages, seed)
                else:
                    judge = Judge(Asked(), thinking=False, end_token_id=lengths.end_token_id)
                    unseen = min(200, rows // 2)
                    wanted = WantedRows(rows - unseen, unseen, languages, made_by.other_languages, 0.0, seed)
                    _show(make(wanted, judge, writer).report)
            _times(writer)
            if scaled:
                _measure_scales(server, writer.pool, lengths.end_token_id, serve, seed)
        finally:
            server.stop()


def _write(writer: Writer, count: int, languages: dict[str, float], seed: int) -> None:
    """Draws and answers so many questions, whatever they are worth."""
    draws: list[Draw] = []
    while len(draws) < count:
        draws += draw_block(len(draws) // 256, seed, languages, 0.25)
    draws = draws[:count]
    writer.draw(draws, {draw.number: system_prompt(draw.kind, draw.language) for draw in draws})
    writer.answer(draws)


def _show(report: SelfMadeReport) -> None:
    known = report.model_dump(mode="json", exclude={"examples"})
    console.print(json.dumps(known, ensure_ascii=False, indent=1))
    for row in report.examples:
        console.print(f"\n[{row.id}, {row.kind or 'free'}, {row.language}] {row.question}\n  -> {row.answer}")


def _times(writer: TimedWriter) -> None:
    pool = writer.pool
    tokens = {
        "questions": sum(question.tokens for question in pool.questions.values()),
        "answers": sum(len(answer.answer_ids) for answer in pool.answers.values()),
        "likelihoods": sum(len(pool.answers[n].prompt_ids) + len(pool.answers[n].answer_ids) for n in pool.likelihoods),
    }
    counts = {"questions": len(pool.questions), "answers": len(pool.answers), "likelihoods": len(pool.likelihoods)}
    for what, seconds in writer.seconds.items():
        rate = tokens[what] / max(seconds, 1e-9)
        console.print(f"{what}: {counts[what]} in {seconds:.1f} s, {tokens[what]:,} tokens, {rate:,.0f} tokens/s")


def _measure_scales(server: VllmServer, pool: Pool, end_token_id: int, serve: ServeConfig, seed: int) -> None:
    """Seconds of the base and of every scale for what the stage `scale` asks, over the answers that were written."""
    written = [answer for answer in pool.answers.values() if answer.answer_ids]
    heldout = [
        ProofAnswer(id=str(n), input_ids=row.prompt_ids + row.answer_ids, answer_start=len(row.prompt_ids))
        for n, row in enumerate(written[: scaling.HELDOUT_ROWS])
    ]
    general = [
        SelfMadeRow(
            id=str(n), language="zh", kind=None, messages=[], prompt_ids=row.prompt_ids, answer_ids=row.answer_ids,
            base_logprob=0.0, use="unseen",
        )
        for n, row in enumerate(written[: scaling.GENERAL_ROWS])
    ]  # fmt: skip
    asked, settings = scaling.Asked(heldout, general, end_token_id), Settings(seed=seed, concurrency=256)
    read = sum(len(row.input_ids) for row in heldout) + sum(len(row.prompt_ids + row.answer_ids) for row in general)
    names, began = server.command.target.all_names, time.perf_counter()
    for name in names:
        since = time.perf_counter()
        asked.measure(Endpoint(server.command.base_url, name, name, serve.api_key_env), 1.0, settings)
        console.print(f"scale {name}: {time.perf_counter() - since:.1f} s")
    console.print(
        f"scales: {len(names)} models in {time.perf_counter() - began:.1f} s, {len(heldout)} held-out and "
        f"{len(general)} general answers each, {read:,} tokens read by each"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder; of a shape, config.json and tokenizer are enough")
    parser.add_argument("overrides", nargs="*", help="serve.KEY=VALUE ...")
    parser.add_argument("--rows", type=int, default=1000, help="rows to make, a fifth of them to measure on")
    parser.add_argument("--languages", default='{"zh": 1.0}', help="languages of the user's rows, as JSON")
    parser.add_argument("--dummy", type=int, default=0, metavar="N", help="made-up weights: N questions and answers")
    parser.add_argument("--scales", action="store_true", help="ask what `merge.scale: auto` asks, over made-up weights")
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_intermixed_args(arguments)

    def go() -> None:
        serve = config_without_recipe(options.overrides, ("serve",), "a plain model").serve
        if options.dummy:
            serve = serve.model_copy(update={"args": [*serve.args, "--load-format", "dummy"]})
        languages = json.loads(options.languages)
        measure(options.model, options.rows, languages, options.dummy, serve, options.seed, scaled=options.scales)

    return guarded(go, debug=False)


if __name__ == "__main__":
    sys.exit(main())

r"""Has a base answer given questions itself: the arm between a given data set and one that the base writes.

    python -m scripts.bench.answered MODEL results-data/replay.json --out results-data/replay_answered.jsonl

FILE is a JSON list of `instruction`, `input`, `output`; the outputs are left aside. Answers are taken by the rules of
`data.replay: self`. docs/results.md compares the arms.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from configs.console import console, guarded
from configs.files import write_jsonl
from configs.load import config_without_recipe
from configs.schema import SelfMadeConfig, ServeConfig
from configs.tables import read_json
from eval.ask.endpoint import Settings
from eval.selfmade.draws import Draw
from eval.selfmade.judging import Judge
from eval.selfmade.overlap import Asked
from eval.selfmade.pool import Pool, Question
from eval.selfmade.writer import Lengths, Writer
from scripts.run.selfmade import connect
from scripts.run.serving import private_command, start_server
from serve.launch.target import folder_target
from trainer.data.template import ChatCodec


def answer(model: Path, questions: Sequence[str], serve: ServeConfig) -> tuple[list[dict[str, object]], Counter[str]]:
    """Conversations of the questions whose answer can be used, in their order, and why the others were left out."""
    made_by, end_token_id = SelfMadeConfig(), ChatCodec.load(model).facts.end_token_id
    faults: Counter[str] = Counter()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        pool = Pool(Path(folder) / "pool")
        draws = [Draw(number, None, "zh") for number in range(len(questions))]
        for draw, text in zip(draws, questions, strict=True):
            pool.add(Question(number=draw.number, text=text, ended=True, tokens=len(text)))
        server = start_server(
            private_command(folder_target(model), serve), Path(folder) / "serve.log", serve.ready_timeout_s
        )
        try:
            thinking = False if server.command.target.family == "switchable" else None
            lengths = Lengths(made_by.question_tokens, made_by.answer_tokens, 4096)
            with Writer(
                lambda: connect(server, thinking),
                pool,
                end_token_id,
                thinking,
                lengths,
                Settings(),
                made_by.temperature,
            ) as writer:
                writer.answer(draws)
        finally:
            server.stop()
        judge = Judge(Asked(), thinking=False, end_token_id=end_token_id)
        for draw, text in zip(draws, questions, strict=True):
            fault = judge.answer(pool.answers[draw.number])
            if fault:
                faults[fault] += 1
                continue
            said = {"role": "assistant", "content": pool.answers[draw.number].content}
            rows.append({"messages": [{"role": "user", "content": text}, said]})
    return rows, faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the file, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("file", type=Path, help="JSON list of instruction, input and output")
    parser.add_argument("overrides", nargs="*", help="serve.KEY=VALUE ...")
    parser.add_argument("--out", type=Path, required=True, help="JSONL to write")
    options = parser.parse_intermixed_args(arguments)

    def go() -> None:
        serve = config_without_recipe(options.overrides, ("serve",), "a plain model").serve
        entries = read_json(options.file)
        questions = ["\n".join(filter(None, (e["instruction"], e.get("input")))) for e in entries]
        rows, faults = answer(options.model, questions, serve)
        write_jsonl(options.out, rows)
        left_out = ", ".join(f"{fault} {count}" for fault, count in faults.most_common()) or "none"
        console.print(f"{options.out}: {len(rows)} rows of {len(questions)} questions; left out: {left_out}")

    return guarded(go, debug=False)


if __name__ == "__main__":
    sys.exit(main())

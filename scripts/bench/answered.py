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

from configs.disk.files import write_jsonl
from configs.recipe.load import config_without_recipe
from configs.recipe.schema import SelfMadeConfig
from configs.tables import read_json
from configs.terminal.console import console, guarded
from eval.ask.endpoint import Settings
from eval.selfmade.draws import Draw
from eval.selfmade.judging import Judge
from eval.selfmade.overlap import Asked
from eval.selfmade.pool import Pool, Question
from eval.selfmade.writer import Lengths, Writer
from scripts.run.selfmade import connect
from scripts.run.serving import private_command, start_server
from serve.launch.target import folder_target
from serve.process.server import VllmServer
from trainer.data.template import ChatCodec


def answer(model: Path, questions: Sequence[str], server: VllmServer) -> tuple[list[dict[str, object]], Counter[str]]:
    """Conversations of the questions whose answer can be used, in their order, and why the others were left out.

    Args:
        model: folder of what is served.
        questions: one a conversation.
        server: it, ready.
    """
    made_by, end_token_id = SelfMadeConfig(), ChatCodec.load(model).facts.end_token_id
    faults: Counter[str] = Counter()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        pool = Pool(Path(folder) / "pool")
        draws = [Draw(number, None, "zh") for number in range(len(questions))]
        for draw, text in zip(draws, questions, strict=True):
            pool.add(Question(number=draw.number, text=text, ended=True, tokens=len(text)))
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
        judge = Judge(Asked(), thinking=False, end_token_id=end_token_id)
        for draw, text in zip(draws, questions, strict=True):
            fault = judge.answer(pool.answers[draw.number])
            if fault:
                faults[fault] += 1
                continue
            said = {"role": "assistant", "content": pool.answers[draw.number].content}
            rows.append({"messages": [{"role": "user", "content": text}, said]})
    return rows, faults


def answer_file(model: Path, file: Path, out: Path, server: VllmServer) -> str:
    """Has the questions of a JSON list answered and writes the rows; a line of what came of it.

    Args:
        model: folder of what is served.
        file: JSON list of instruction, input and output; the outputs are left aside.
        out: JSONL to write.
        server: it, ready.
    """
    questions = ["\n".join(filter(None, (e["instruction"], e.get("input")))) for e in read_json(file)]
    rows, faults = answer(model, questions, server)
    write_jsonl(out, rows)
    left_out = ", ".join(f"{fault} {count}" for fault, count in faults.most_common()) or "none"
    return f"{out}: {len(rows)} rows of {len(questions)} questions; left out: {left_out}"


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
        command = private_command(folder_target(options.model), serve)
        with tempfile.TemporaryDirectory() as folder:
            server = start_server(command, Path(folder) / "serve.log", serve.ready_timeout_s)
            try:
                console.print(answer_file(options.model, options.file, options.out, server))
            finally:
                server.stop()

    return guarded(go, debug=False)


if __name__ == "__main__":
    sys.exit(main())

"""How long `tuneserve check` takes for many rows, and how much memory: the first time, and when nothing changed since.

    python -m scripts.bench.check [--rows 100000] [--model DIR] [--tokens 140]

Writes made-up conversations of about so many tokens each, from the sentences of the demo's teaching set, no two alike,
and runs `tuneserve check` on them twice with a cache of its own. Seconds are the whole command's; memory is that of all
its processes together, sampled ten times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from scripts.bench.child import ROOT, environment

DEMO = ROOT / "configs" / "demo"


def main() -> None:
    """Writes the rows, checks them twice, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--model", type=Path, default=DEMO / "model", help="model folder; the embedded one by default")
    parser.add_argument("--tokens", type=int, default=140, help="mean tokens of a row")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-check-") as scratch:
        folder = Path(scratch)
        characters = round(options.tokens * characters_a_token(options.model))
        write_rows(folder / "rows.jsonl", options.rows, characters)
        recipe = {"name": "bench", "model": str(options.model.resolve()), "data": {"sources": "rows.jsonl"}}
        (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
        table = Table(title=f"tuneserve check, {options.rows:,} rows, {os.cpu_count()} cores", box=None)
        for column in ("", "seconds", "peak GB"):
            table.add_column(column, justify="right" if column else "left")
        for name in ("first", "again"):
            seconds, peak_gb, said = check(folder)
            table.add_row(name, f"{seconds:.1f}", f"{peak_gb:.2f}")
        for line in said.splitlines():
            if line.startswith(("conversations kept", "tokens", "row length")):
                print(line)
    Console().print(table)


def characters_a_token(model: Path) -> float:
    """Characters that a token of this model's tokenizer has on average in the teaching set."""
    from tokenizers import Tokenizer

    text = "".join(sentences())
    return len(text) / len(Tokenizer.from_file(str(model / "tokenizer.json")).encode(text).ids)


def sentences() -> list[str]:
    """The sentences of the teaching set's questions, passages and answers."""
    lines = (DEMO / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [text for line in lines for text in json.loads(line).values()]
    return sorted({s for text in texts for s in re.findall(r"[^。！？\n]+[。！？]", text)})


def write_rows(file: Path, count: int, characters: int) -> None:
    """`count` rows of instruction and output, of about `characters` characters in the mean, template included."""
    draw, pool = random.Random(0), sentences()
    with file.open("w", encoding="utf-8") as out:
        for i in range(count):
            # Log-normal as instructions are: many short, few long.
            wanted, answer = characters * draw.lognormvariate(-0.125, 0.5) - 40, ""
            while len(answer) < wanted or not answer:
                answer += draw.choice(pool)
            row = {"instruction": f"第{i}号：{draw.choice(pool)}", "output": answer}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def check(folder: Path) -> tuple[float, float, str]:
    """Runs the command in this folder; returns its seconds, the peak memory of all its processes, and what it said."""
    command = [sys.executable, "-m", "scripts.cli", "check", "recipe.yaml", "--gpu", "h100-80gb"]
    env = {**environment(), "TUNESERVE_CACHE": str(folder / "cache"), "COLUMNS": "120"}
    said = folder / "said.txt"
    started, peak = time.perf_counter(), 0
    with said.open("w", encoding="utf-8") as out:
        child = psutil.Popen(command, cwd=folder, env=env, stdout=out)
        while child.poll() is None:
            peak = max(peak, resident_bytes(child))
            time.sleep(0.1)
    seconds = time.perf_counter() - started
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return seconds, peak / 1e9, said.read_text(encoding="utf-8")


def resident_bytes(process: psutil.Process) -> int:
    """Resident memory of a process and all that it started; those that ended meanwhile count nothing."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
    return total


if __name__ == "__main__":
    main()

"""The plan for people's eyes: what is taken and why, what else could be, what the card can serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from configs.handover.training import Plan
from configs.machine.gpus import MEASURED_ON, Device
from configs.model.serving_memory import Fit
from configs.terminal.console import ours
from trainer.plan.candidates import Candidate


def render_plan(plan: Plan, steps: int, device: str) -> Table:
    """Every decision with its reason."""
    table = Table(title=f"Plan for {device}: {steps:,} optimizer steps", title_justify="left", box=None, pad_edge=False)
    table.add_column("decision")
    table.add_column("taken")
    table.add_column("why", overflow="fold")
    for name, why in plan.reasons.items():
        table.add_row(name, str(getattr(plan, name)), why)
    return table


SHOWN = 5
"""Layouts of the table; `--all` shows every one."""


def telling(rows: Sequence[Candidate], taken: Candidate | None) -> list[Candidate]:
    """The layouts that tell something: the one taken, the fastest and the leanest of each precision; at most `SHOWN`.

    Where a precision does not fit at all, its leanest layout says by how much.
    """
    own = taken.precision if taken is not None else rows[0].precision
    precisions = sorted({row.precision for row in rows}, key=lambda name: (name != own, name))
    found = [taken] if taken is not None else []
    for precision in precisions:
        among = [row for row in rows if row.precision == precision]
        fitting = [row for row in among if row.fits]
        found += [min(fitting, key=lambda row: row.step_s)] if fitting else []
        found += [min(among, key=lambda row: row.memory.needed_gb)] if precision == own or not fitting else []
    leanest = sorted(rows, key=lambda row: row.memory.needed_gb)[:1]
    faster = sorted((row for row in rows if row.fits), key=lambda row: row.step_s)
    chosen: list[Candidate] = []
    for row in [*found, *leanest, *faster, *rows]:
        if not any(row is other for other in chosen) and len(chosen) < SHOWN:
            chosen.append(row)
    return chosen


def render_table(rows: Sequence[Candidate], taken: Candidate | None, gpu: Device, every: bool = False) -> Table:
    """The layouts that differ, or every one; the one taken is marked, what does not fit is grey with its reason."""
    source = "measured there" if gpu.name == MEASURED_ON else f"an estimate, scaled from {MEASURED_ON}"
    several = rows[0].gpus > 1
    title = (
        f"Memory and time on {f'{rows[0].gpus} x ' * several}{gpu.name}, {rows[0].usable_gb:.1f} GB to use"
        f"{' on each' * several} ({source}); {rows[0].rows_per_step} rows a step,\n"
        f"laid out as rows of a forward pass x forward passes{' x GPUs' * several}"
    )
    shown = list(rows) if every else telling(rows, taken)
    notes = ["* steps recorded as CUDA graphs"] if any(row.recorded for row in shown) else []
    notes += [f"{len(shown)} of {len(rows)} layouts; --all shows every one"] if len(shown) < len(rows) else []
    caption = "; ".join(notes) or None
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("precision", no_wrap=True)
    table.add_column("checkpointing", no_wrap=True)
    table.add_column("batch", justify="right", no_wrap=True)
    table.add_column("peak GB", justify="right", no_wrap=True)
    table.add_column("s/step", justify="right", no_wrap=True)
    table.add_column("tokens/s", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in sorted(shown, key=lambda c: (c.precision, c.micro_batch)):
        speed = (
            (f"{row.step_s:.3g}{'*' * row.recorded}", f"{row.useful_tokens_per_s:,.0f}", _hours(row.hours))
            if row.fits
            else ("", "", ours("too large"))
        )
        chosen = row is taken
        table.add_row(
            "→" if chosen else "", row.precision, row.checkpointing,
            f"{row.micro_batch} x {row.passes}{f' x {row.gpus}' if row.gpus > 1 else ''}", f"{row.peak_gb:.1f}", *speed,
            ours("taken" if chosen and row.fits else ""),
            style="bold green" if chosen and row.fits else "bright_black" if not row.fits else None,
        )  # fmt: skip
    return table


def render_serving(options: Mapping[str, Fit], asked: str, gpu: Device) -> Table:
    """What the card can serve, with the precision that the recipe asks for marked."""
    title = f"Serving the merged model on {gpu.name} (an estimate)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("precision")
    table.add_column("weights GB", justify="right")
    table.add_column("")
    for name, option in options.items():
        room = option.why_not or f"room for {option.context:,} tokens"
        style = "bright_black" if option.why_not else "bold green" if name == asked else None
        table.add_row("→" if name == asked else "", name, f"{option.weights_gb:.1f}", room, style=style)
    return table


def _hours(hours: float) -> str:
    return f"{hours:.2f} h" if hours >= 0.1 else f"{60 * hours:.1f} min"

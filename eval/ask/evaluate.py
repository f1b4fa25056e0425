"""Asks an endpoint every item of some tasks, scores the answers, and writes them down as they come.

    results = evaluate(Endpoint("http://127.0.0.1:8000", "my-model"), tasks, run / "eval" / "base")

An evaluation that was killed goes on where it stopped: recorded answers are kept, failed samples and what was in flight
are asked again. Answers to other settings, another model or other prompts are set aside, and asked anew; those that
were scored by other rules are scored again.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from configs.disk.files import appended, whole
from configs.disk.locks import locked
from configs.errors import ConfigError, EndpointError, TuneserveError
from configs.terminal.console import warn
from eval.ask.answered_by import answered_by, of_one_model
from eval.ask.client import Client, Outcome, Served
from eval.ask.endpoint import Endpoint, Settings, sampling
from eval.ask.kept import kept
from eval.ask.replies import AttemptError, Check, check_chat
from eval.ask.results import (
    Sample,
    SampleError,
    TaskMeta,
    TaskResult,
    canonical_sha256,
    read_meta,
    read_results,
    read_samples,
    sample_line,
)
from eval.metrics.thinking import split_thinking
from eval.tasks.scoring import SCORING, primary_metric, scoring_sha256
from eval.tasks.task import Item, Task

_PROGRESS_EVERY_S = 0.2
_TOP_LOGPROBS = 20
_RULED_OUT = -9000.0
_TOKEN_COUNTS = ("prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is. `done` and `total` count samples of all tasks, those `kept` from before included.

    `eta_s` is None until an answer came; `errors` counts samples that finally failed, `retries` failed attempts.
    """

    done: int
    total: int
    requests_per_s: float
    eta_s: float | None
    in_flight_limit: int
    errors: int
    retries: int
    task: str
    kept: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class _Plan:
    """A task made ready for one endpoint: what every request of it begins with, and what of it is still to ask."""

    task: Task
    meta: TaskMeta
    body_head: bytes
    check: Check
    prompts: Mapping[str, str]
    wanted: int
    todo: Sequence[Item]


def evaluate(
    endpoint: Endpoint,
    tasks: Sequence[Task],
    out_dir: Path,
    *,
    settings: Settings | None = None,
    only: Mapping[str, Collection[str]] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, TaskResult]:
    """Asks and scores all tasks; returns what `read_results` reads back, restricted to them.

    Args:
        endpoint: who is asked.
        tasks: what is asked, all in one queue so that the server is never idle between two of them.
        out_dir: folder of this endpoint, `RUN/eval/<label>`; earlier answers in it are kept where they still apply.
        settings: how everything is asked, the same for every endpoint of a comparison.
        only: ids by task that are asked now; all where it is None. What is recorded says what the whole task is.
        on_progress: called a few times a second and at the end.

    Raises:
        ConfigError: a file that no evaluation wrote has the name of a task's answers.
        TuneserveError: another evaluation writes into `out_dir`.
        EndpointError: key or model refused, server away for too long, or more than `max_error_rate` of the samples
            without an answer. Whatever was answered is on disk.
    """
    settings = settings or Settings()
    out_dir.mkdir(parents=True, exist_ok=True)
    busy = TuneserveError(f"{out_dir}: another evaluation is writing there", "wait for it, or name another folder")
    with locked(out_dir, busy):
        for task in tasks:
            _require_own(out_dir, task.name)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_evaluate(endpoint, tasks, out_dir, settings, only, on_progress))
        found = read_results(out_dir)
        results = of_one_model({task.name: found[task.name] for task in tasks}, out_dir)
    _refuse_too_many_errors(endpoint, results, settings.max_error_rate)
    return results


def probe(endpoint: Endpoint, settings: Settings | None = None) -> Served:
    """What an endpoint serves, and whether it is vLLM; waits for it as `Client.served` does."""

    async def ask() -> Served:
        async with Client(endpoint, settings or Settings()) as client:
            return await client.served()

    return asyncio.run(ask())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _require_own(out_dir: Path, task: str) -> None:
    """Refuses to touch what an evaluation did not write: its answers always have a meta file beside them."""
    answers, meta = out_dir / f"{task}.jsonl", out_dir / f"{task}.meta.json"
    if meta.exists():
        read_meta(meta)
        read_samples(answers)
    elif answers.exists():
        raise ConfigError(
            f"{answers}: would hold the answers of task {task!r}, and no evaluation wrote it",
            "give another folder, or name the task otherwise: NAME:TYPE=PATH",
        )


async def _evaluate(
    endpoint: Endpoint,
    tasks: Sequence[Task],
    out_dir: Path,
    settings: Settings,
    only: Mapping[str, Collection[str]] | None,
    on_progress: OnProgress | None,
) -> None:
    async with Client(endpoint, settings) as client:
        served = await client.served()
        if settings.thinking is not None and not served.is_vllm:
            warn(f"{endpoint.base_url} is not vLLM, and is told nothing of thinking={json.dumps(settings.thinking)}")
        plans = [
            _plan(task, endpoint, settings, served, out_dir, only[task.name] if only is not None else None)
            for task in tasks
        ]
        meter = _Meter(client, plans, on_progress)
        with ExitStack() as opened:
            opened.callback(meter.show)
            files = {
                name: opened.enter_context(appended(out_dir / f"{name}.jsonl"))
                for name in (plan.task.name for plan in plans)
            }
            await client.ask_all("chat/completions", _jobs(plans), _recorder(files, meter), meter.kept)


def longest_answer(task: Task, settings: Settings, *, thinks: bool = True) -> int:
    """Tokens that an answer may have; `thinks`: its thoughts among them, in the mode that thinks."""
    longest = task.max_tokens or SCORING[task.kind].max_tokens or settings.max_tokens
    return longest + (settings.thinking_tokens if settings.thinking and thinks else 0)


def _plan(
    task: Task, endpoint: Endpoint, settings: Settings, served: Served, out_dir: Path, only: Collection[str] | None
) -> _Plan:
    scoring = SCORING[task.kind]
    method = _choice_method(settings, served) if task.kind == "choice" else "generate"
    longest = 1 if method == "choice_logprobs" else longest_answer(task, settings, thinks=method == "generate")
    values = sampling(settings, longest, served.is_vllm)
    if method == "choice_logprobs":
        values |= {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}
    prompts = {
        item.id: canonical_sha256([item.messages, item.tools] if item.tools else item.messages) for item in task.items
    }
    meta = TaskMeta(
        task=task.name,
        type=task.kind,
        role=task.role,
        group=task.group,
        primary=primary_metric(task),
        metrics=list(scoring.metrics),
        diagnostics=list(scoring.diagnostics),
        chance=sum(1 / len(item.choices) for item in task.items) / len(task.items) if task.kind == "choice" else 0.0,
        macro=task.macro,
        n=len(task.items),
        seed=task.seed,
        settings={**values, "shots": task.shots},
        settings_sha256=canonical_sha256({**values, "shots": task.shots}),
        samples_sha256=canonical_sha256([_identity(item, prompts[item.id]) for item in task.items]),
        thinking=settings.thinking,
        model=endpoint.model,
        base_url=endpoint.base_url,
        method=method,
        scoring_sha256=scoring_sha256(),
    )
    still = kept(task, meta, prompts, out_dir)
    head = json.dumps({"model": endpoint.model, **values}, ensure_ascii=False)[:-1].encode()
    check = _check_choice if method == "choice_logprobs" else check_chat
    wanted = [item for item in task.items if only is None or item.id in only]
    return _Plan(task, meta, head, check, prompts, len(wanted), [item for item in wanted if item.id not in still])


def _identity(item: Item, prompt_sha256: str) -> list[Any]:
    """What makes an item the same question: a changed reference is another question, and its old score is void."""
    constraints = [dict(constraint) for constraint in item.constraints]
    return [item.id, item.cluster, prompt_sha256, list(item.references), dict(item.choices), constraints]


def _choice_method(settings: Settings, served: Served) -> str:
    if settings.choice_method == "choice_logprobs" and (settings.thinking or not served.is_vllm):
        raise ConfigError(
            "choice_logprobs needs a vLLM server and thinking switched off", "set the choice method to generate"
        )
    if settings.choice_method != "auto":
        return settings.choice_method
    # A thinking model answers with a letter only after its thoughts: one restricted token would cut them off.
    return "choice_logprobs" if served.is_vllm and not settings.thinking else "generate"


def _jobs(plans: Sequence[_Plan]) -> Iterator[tuple[tuple[_Plan, Item], bytes, Check]]:
    for plan in plans:
        for item in plan.todo:
            # Settings are serialized once a task; a request adds its messages only.
            tail: dict[str, Any] = {"messages": item.messages}
            if item.tools:
                # They stand in the prompt, as in training; the answer comes as it was written.
                tail |= {"tools": item.tools, "tool_choice": "none"}
            if plan.meta.method == "choice_logprobs":
                tail["structured_outputs"] = {"choice": list(item.choices)}
            body = plan.body_head + b"," + json.dumps(tail, ensure_ascii=False, separators=(",", ":")).encode()[1:]
            yield (plan, item), body, plan.check


def _check_choice(reply: dict[str, Any]) -> None:
    check_chat(reply)
    logprobs = reply["choices"][0].get("logprobs")
    if not logprobs:
        raise AttemptError("bad_shape", "the server returned no logprobs for a restricted choice", retry=False)
    try:
        choice_margin(logprobs, "")
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise AttemptError("bad_shape", f"logprobs of a strange shape ({type(error).__name__}: {error})") from error


def _recorder(files: Mapping[str, IO[str]], meter: _Meter) -> Callable[[tuple[_Plan, Item], Outcome], None]:
    def record(job: tuple[_Plan, Item], outcome: Outcome) -> None:
        plan, item = job
        sample = _sample(plan, item, outcome)
        file = files[plan.task.name]
        # One write per line and a flush: after a kill at most the last line is torn.
        file.write(sample_line(sample) + "\n")
        file.flush()
        meter.finished(plan.task.name, sample)

    return record


def _sample(plan: _Plan, item: Item, outcome: Outcome) -> Sample:
    method = plan.meta.method
    sample = Sample(
        id=item.id,
        cluster=item.cluster,
        prompt_sha256=plan.prompts[item.id],
        status="error",
        error=None,
        prompt=item.messages,
        references=item.references,
        raw=None,
        reasoning=None,
        answer="",
        finish_reason=None,
        flags=[],
        scores={},
        usage=None,
        latency_s=round(outcome.latency_s, 4),
        retries=dict(outcome.failures),
        detail=item.detail,
    )
    if outcome.reply is None:
        return replace(sample, error=SampleError(outcome.error_kind or "unknown", outcome.error_message or ""))
    choice = outcome.reply["choices"][0]
    message, finish_reason = choice["message"], choice.get("finish_reason")
    written = message["content"], message.get("reasoning") or message.get("reasoning_content")
    content, reasoning = (text and whole(text) for text in written)
    reply = split_thinking(content, reasoning, finish_reason, plan.meta.thinking)
    if reply is None:
        return replace(sample, error=SampleError("null_content", "the answer's content is null"))
    scored = SCORING[plan.task.kind].score(item, reply.answer)
    flags = [*scored.flags]
    if reply.truncated:
        flags.append("truncated_thinking")
    elif finish_reason == "length" and method == "generate":
        flags.append("truncated")
    if reply.leaked and not plan.meta.thinking:
        flags.append("thinking_leak")
    detail = {**item.detail, **scored.detail, **answered_by(outcome.reply, plan.meta.model)}
    if method == "choice_logprobs":
        detail["margin"] = choice_margin(choice["logprobs"], list(item.choices))
    usage = outcome.reply.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return replace(
        sample,
        status="ok",
        raw=content,
        reasoning=reply.reasoning,
        answer=reply.answer,
        finish_reason=finish_reason,
        flags=flags,
        scores=scored.scores,
        usage={key: counts[key] for key in _TOKEN_COUNTS if _is_count(counts.get(key))} or None,
        detail=detail,
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def choice_margin(logprobs: Mapping[str, Any], letters: Sequence[str]) -> float | None:
    """Log-probability of the best letter minus that of the second best; None where fewer than two were reported."""
    content = logprobs.get("content") or []
    top = content[0].get("top_logprobs", []) if content else []
    best: dict[str, float] = {}
    for entry in top:
        letter, logprob = str(entry["token"]).strip(), float(entry["logprob"])
        if not math.isfinite(logprob):
            raise ValueError(f"logprob {logprob} of {letter!r}")
        if letter in letters:
            best[letter] = max(best.get(letter, float("-inf")), logprob)
    ranked = sorted(best.values(), reverse=True)
    # JSON has no minus infinity: vLLM reports -9999 for what the restriction rules out.
    return round(ranked[0] - ranked[1], 6) if len(ranked) > 1 and ranked[1] > _RULED_OUT else None


class _Meter:
    """Counts, and calls `on_progress` a few times a second."""

    def __init__(self, client: Client, plans: Sequence[_Plan], on_progress: OnProgress | None) -> None:
        self._client = client
        self._on_progress = on_progress
        self._total = sum(plan.wanted for plan in plans)
        self._asked = sum(len(plan.todo) for plan in plans)
        self.kept = self._total - self._asked
        self._answered = 0
        self._errors = 0
        self._task = plans[0].task.name if plans else ""
        self._began = time.monotonic()
        self._shown = float("-inf")

    def finished(self, task: str, sample: Sample) -> None:
        self._answered += 1
        self._errors += sample.status == "error"
        self._task = task
        if time.monotonic() - self._shown >= _PROGRESS_EVERY_S:
            self.show()

    def show(self) -> None:
        if self._on_progress is None:
            return
        self._shown = time.monotonic()
        rate = self._answered / max(self._shown - self._began, 1e-9)
        left = self._asked - self._answered
        self._on_progress(
            Progress(
                done=self._total - left,
                total=self._total,
                requests_per_s=rate,
                eta_s=left / rate if self._answered else None,
                in_flight_limit=self._client.level.limit,
                errors=self._errors,
                retries=self._client.failures.total(),
                task=self._task,
                kept=self.kept,
            )
        )


def _refuse_too_many_errors(endpoint: Endpoint, results: Mapping[str, TaskResult], allowed: float) -> None:
    samples = [sample for result in results.values() for sample in result.samples]
    failed = [sample for sample in samples if sample.error is not None]
    if not samples or len(failed) <= allowed * len(samples):
        return
    kinds: dict[str, int] = {}
    for sample in failed:
        assert sample.error is not None
        kinds[sample.error.kind] = kinds.get(sample.error.kind, 0) + 1
    counted = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items(), key=lambda pair: -pair[1]))
    first = failed[0].error
    raise EndpointError(
        f"{endpoint.label}: {len(failed)} of {len(samples)} samples have no answer ({counted}), more than "
        f"{allowed:.1%}; the first: {first.message if first else ''}",
        "mend the cause and repeat the command: only the failed samples are asked again; "
        "or allow more: eval.max_error_rate",
    )

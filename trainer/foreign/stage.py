"""The stage `foreign`: a model of another trainer in the place of data and training. `python -m trainer foreign RUN`.

It leaves what a training would leave: rows rendered as that trainer rendered them, prompts that the server must build,
held-out questions, the answers' likelihoods under base and model by transformers' own forward pass, and the adapter or
the merged weights. What it finds out on the way goes to the manifest.
"""

from __future__ import annotations

import gc
import hashlib
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM

from configs.disk.files import file_bytes, remove_folder
from configs.disk.homes import expanded
from configs.errors import ConfigError, DataError, first_line
from configs.handover.base import read_rows, write_rows
from configs.handover.foreign import Finding, ForeignFacts, fault, told
from configs.handover.rows import ParityRow, ProofAnswer, ProofRow
from configs.model.files import TOKENIZER_FILES, as_list, read_json, weight_bytes
from configs.model.fingerprint import content_hash, weights_fingerprint
from configs.network.hub import resolve_model
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from configs.terminal.console import again, note, warn
from configs.terminal.words import Words
from trainer.architectures import check_architecture, refuse_own_code
from trainer.data import prepare as prepared_data
from trainer.data.answers import chosen_answers
from trainer.data.corpus import gather
from trainer.data.layouts import Conversation
from trainer.data.prepare import prepare, prepared_facts, put_in_place
from trainer.data.tally import Tally
from trainer.data.template import ChatCodec, reasoning_of
from trainer.export.foreign import (
    link_with_tokenizer_of,
    template_difference,
    tokens_of,
)
from trainer.export.side_files import side_files_fingerprint
from trainer.foreign.folder import Given, given, link_adapter, link_merged, made_by, other_base
from trainer.foreign.likely import Group, Scored, choose, group, likelier, score, table, worse
from trainer.foreign.renderings import FOLDER, Rendering, candidates, modes, named
from trainer.foreign.tokens import tokenizer_findings
from trainer.foreign.weights import config_findings, weight_findings
from trainer.loading import loading
from trainer.sft.proof_rows import answer_logprobs

END_TRAINED = 0.5
"""Below this probability of the end-of-turn token behind an answer it was hardly trained; a trained one gives 0.99."""


def foreign_stage(run: RunDir, config: RunConfig, *, force: bool = False) -> ForeignFacts | None:
    """Looks at the model and fills the run; None when nothing changed since the last time.

    Raises:
        ConfigError, TuneserveError: it cannot be held against this base; the reason is said.
        DataError: the rows cannot be used.
    """
    assert config.foreign is not None
    base = resolve_model(config.model, config.hub, config.offline)
    what = given(config.foreign, base, config.hub, config.offline)
    inputs = inputs_of(config, base, what)
    why = run.changed_since("foreign", inputs)
    if why is None and not (before := run.prepared().base_model).is_dir():
        why = f"{before} is gone"
    if why is None and not force:
        return None
    again("foreign", why)
    if warning := check_architecture(base):
        warn(warning)
    outputs = [run.data / name for name in (*prepared_data.FILES, "proof.jsonl", "trained_as")]
    outputs += [into for into, of in ((run.adapter, what.adapter), (run.merged, what.merged)) if of is not None]
    for output in outputs:
        run.require_no_own_files("foreign", output)
    with run.stage("foreign", inputs, outputs) as record:
        facts = Look(run, config, base, what).facts()
        record.figures = {"findings": len(facts.findings), "faults": sum(f.fault for f in facts.findings)}
    return facts


class Look:
    """One look at a model of another trainer."""

    def __init__(self, run: RunDir, config: RunConfig, base: Path, what: Given) -> None:
        assert config.foreign is not None
        self.run, self.config, self.foreign, self.what = run, config, config.foreign, what
        self.maker = made_by(what.folder)
        self.findings: list[Finding] = []
        self.model: Any = None
        self.own_base = base
        self.base = self._base_with_new_tokens(base)
        self.codec = ChatCodec.load(self.base)
        # With their reasoning, which decides the mode: a recipe that says nothing of it would leave it out.
        conversations = gather(config.model_copy(update={"thinking": True}), Tally()).train
        self.thinking = self._thinking(conversations)
        self.rows = choose(conversations, self.codec, self.thinking, config.data.max_length, config.seed)

    def facts(self) -> ForeignFacts:
        """Does all of it; the order is that of the cost, so that what cannot be judged is refused early."""
        self._files()
        if self.what.merged is not None:
            self._found(*weight_findings(self.what.merged, self.base), *config_findings(self.what.merged, self.base))
            link_merged(self.what.merged, self.run.merged)
        if self.what.adapter is not None:
            link_adapter(self.what.adapter, self.run.adapter)
        self.model = self._tuned()
        trained, scored = self._rendering()
        end = self._end(trained, scored)
        self._write_trained_as(trained)
        longest = self._prepare()
        self._prove()
        served_thinking = self._served_mode()
        facts = ForeignFacts(
            kind=self.what.kind,  # type: ignore[arg-type]
            trainer=self.maker[0] if self.maker else None,
            rendering=trained.described(),
            renderings=table(scored),
            end_probability=end,
            thinking=served_thinking,
            longest_answer=longest,
            findings=sorted(self.findings, key=lambda finding: not finding.fault),
        )
        self.run.update(foreign=facts, hashes={"data": self._data_hash})
        self.run.configure(self.config.model_copy(update={"thinking": served_thinking}))
        return facts

    def _found(self, *findings: Finding) -> None:
        for finding in findings:
            self.findings.append(finding)
            note(Words.chosen().say(finding.key, **finding.values), good=False if finding.fault else None)

    def _fault(self, key: str, **values: str | int | float) -> None:
        self._found(fault(key, **values))

    def _tell(self, key: str, **values: str | int | float) -> None:
        self._found(told(key, **values))

    @property
    def served(self) -> Path:
        """The folder whose tokenizer and template a server will use."""
        return self.what.merged or self.base

    def _base_with_new_tokens(self, base: Path) -> Path:
        """The base; where an adapter was trained with new tokens, the base with the adapter's tokenizer, as links."""
        adapter = self.what.adapter
        if adapter is None or self.what.merged is not None:
            return base
        own, known = tokens_of(adapter), tokens_of(base)
        fits = all(own.get(token, place) == place for token, place in known.items())
        if not (own.keys() - known.keys()) or not fits or not (adapter / "tokenizer.json").is_file():
            return base
        folder = self.run.path / "base"
        remove_folder(folder)
        folder.mkdir(parents=True)
        link_with_tokenizer_of(adapter, base, folder)
        return folder

    def _thinking(self, conversations: Sequence[Conversation]) -> bool:
        """The mode in which the rows were trained: as it is said, else by what most answers hold."""
        if self.foreign.thinking is not None:
            return self.foreign.thinking
        with_reasoning = sum(bool(reasoning_of(c.messages[-1])) for c in conversations)
        return with_reasoning * 2 > len(conversations) and self.codec.facts.family != "none"

    def _files(self) -> None:
        """What the files beside the weights tell."""
        if self.maker is not None:
            self._tell("finding.made_by", trainer=self.maker[0], template=self.maker[1] or "?")
        adapter = self.what.adapter
        if adapter is not None and (named := other_base(adapter, self.config.model)) is not None:
            self._tell("finding.other_base", named=named, given=self.config.model)
        texts = [str(m.get("content") or "") for row in self.rows for m in row.messages]
        folder, base = self.what.folder, self.own_base
        self._found(*tokenizer_findings(folder, base, texts, has_weights=self.what.merged is not None))
        if self.foreign.rows_known and self.config.data.heldout is None:
            self._tell("finding.heldout_seen")
        if (pair := template_difference(folder, base)) is not None:
            theirs, ours = _apart(*pair)
            self._tell("finding.template_differs", theirs=theirs, ours=ours)

    def _tuned(self) -> Any:
        """The model as transformers and PEFT compute it: the reference of everything that a server is held to."""
        if self.what.adapter is None:
            return load(self.served)
        from peft import PeftModel

        base = load(self.base)
        try:
            return PeftModel.from_pretrained(base, str(self.run.adapter))
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ConfigError(
                f"{self.what.folder}: PEFT cannot lay this adapter over {self.base}: {first_line(error)}",
                "name the base that it was trained on with --base",
            ) from error

    def _rendering(self) -> tuple[Rendering, list[Scored]]:
        """How the model was trained to be asked, and how likely it finds its answers under every rendering."""
        known = candidates(self.codec, self.base, self.served)
        served = next((r for r in known if r.name == FOLDER), known[0])
        given = named(self.foreign.template, known) if self.foreign.template else None
        if given is not None and given not in known:
            known.append(given)
        if not self.foreign.rows_known:
            return given or served, []
        codecs = {rendering.name: self.codec.with_template(rendering.template) for rendering in known}
        if self.thinking:  # a format that leaves the reasoning out would be asked for shorter answers than the others
            known = [rendering for rendering in known if codecs[rendering.name].facts.family != "none"]
        groups = group(known, codecs, self.rows, self.thinking, self.config.data.max_length)
        if not any(one.named(served.name) for one in groups):
            raise DataError(
                f"{self.served}: its chat template cannot render the last answer of every one of {len(self.rows)} rows "
                f"within {self.config.data.max_length} tokens (data.max_length)",
                "give rows that it renders, or the template of the training: --template FILE",
            )
        self._files_say(groups, served)
        scored = score(self.model, groups)
        best = scored[0]
        as_served = next(one for one in scored if one.group.named(served.name))
        if given is not None:
            as_given = next((one for one in scored if one.group.named(given.name)), None)
            if as_given is not None and worse(as_given, best):
                self._tell(
                    "finding.template_unlikely", given=given.name, likeliest=_names(best), **_compared(best, as_given)
                )
            return given, scored
        if best is as_served:
            return served, scored
        if not worse(as_served, best):
            self._tell("finding.undecided", served=served.name, likeliest=_names(best), **_compared(best, as_served))
            return served, scored
        at = next(i for i, (a, b) in enumerate(zip(best.group.rows, as_served.group.rows, strict=True)) if a != b)
        theirs, ours = _apart(*(self.codec.tokenizer.decode(one.group.rows[at].input_ids) for one in (best, as_served)))
        self._fault(
            "finding.template_drift",
            likeliest=_names(best),
            served=served.name,
            trained_text=theirs,
            served_text=ours,
            file=str(self.trained_as / "chat_template.jinja"),
            **_compared(best, as_served),
        )
        return best.group.members[0], scored

    def _files_say(self, groups: Sequence[Group], served: Rendering) -> None:
        """Tells where the files name a template that gives other prompts than the served one."""
        if self.maker is None or self.maker[1] is None:
            return
        wanted = f"{self.maker[0]} {self.maker[1]}"
        for one in groups:
            users = {user for member in one.members for user in member.users}
            if wanted in users and not one.named(served.name):
                self._tell("finding.files_say", template=wanted, rendering=one.members[0].name, served=served.name)

    @property
    def trained_as(self) -> Path:
        """The folder with the base's tokenizer and the template of the training."""
        return self.run.data / "trained_as"

    def _write_trained_as(self, trained: Rendering) -> None:
        remove_folder(self.trained_as)
        self.trained_as.mkdir(parents=True)
        for name in (*TOKENIZER_FILES, "config.json"):
            if (self.base / name).is_file():
                shutil.copyfile(self.base / name, self.trained_as / name)
        (self.trained_as / "chat_template.jinja").write_text(trained.template, encoding="utf-8")

    def _end(self, trained: Rendering, scored: Sequence[Scored]) -> float | None:
        """How sure the model is of the end-of-turn token; looks at whether a server would stop at it."""
        facts, stops = self.codec.with_template(trained.template).facts, _stops(self.served)
        if self.what.merged is not None and facts.end_token_id not in stops:
            self._fault(
                "finding.does_not_stop",
                token=facts.end_token,
                id=facts.end_token_id,
                stops=", ".join(map(str, sorted(stops))),
            )
        seen = next((one for one in scored if one.group.named(trained.name)), None)
        if seen is None:
            return None
        probability = math.exp(fmean(seen.end))
        if probability < END_TRAINED:
            likeliest, count = seen.instead.most_common(1)[0]
            values = {
                "token": facts.end_token,
                "percent": round(100 * probability, 2),
                "instead": self.codec.tokenizer.decode([likeliest]),
                "share": round(100 * count / len(seen.end)),
            }
            if likeliest in stops and likeliest != facts.end_token_id:
                self._tell("finding.other_end", **values)
            else:
                self._fault("finding.end_untrained", **values)
        return probability

    def _prepare(self) -> int:
        """The rows as that trainer rendered them, in RUN/data; returns their longest answer in tokens."""
        config = self.config.model_copy(update={"thinking": self.thinking})
        prepared = prepare(config, self.trained_as)
        put_in_place(prepared, self.run.data)
        self._data_hash = prepared_data.data_inputs(config, self.trained_as)["data"]
        served = ChatCodec.load(self.served)
        facts = prepared_facts(config, self.base, prepared.report)
        self.run.update(
            prepared=facts.model_copy(update={"family": served.facts.family, "template_sha256": served.facts.sha256})
        )
        rows = prepared_data.read_rows(self.run.data / "train", ["labels"])["labels"].to_pylist()
        rows += prepared_data.read_rows(self.run.data / "heldout", ["labels"])["labels"].to_pylist()
        return max((sum(label != -100 for label in labels) for labels in rows), default=0)

    def _prove(self) -> None:
        """Writes the answers' likelihoods under base and model, which the served weights must give again."""
        parts = [prepared_data.read_rows(self.run.data / part) for part in ("heldout", "train")]
        rows = next(part for part in parts if part.num_rows)
        answers = chosen_answers(rows.to_pylist(), self.config.proof.rows, self.config.seed)
        tuned = answer_logprobs(self.model, answers)
        if self.what.adapter is not None:
            base = answer_logprobs(self.model, answers, 0)
        else:
            self.model = None  # one model at a time
            gc.collect()
            torch.cuda.empty_cache()
            base = answer_logprobs(load(self.base), answers)
        write_rows(self.run.data / "proof.jsonl", _proof(answers, base, tuned))

    def _served_mode(self) -> bool:
        """The thinking mode of the served template in which most prompts are built as they were trained."""
        codec = ChatCodec.load(self.served)
        rows = read_rows(self.run.data / "parity.jsonl", ParityRow, "foreign")

        def equal(mode: bool) -> int:
            texts = [codec.render(r.messages, tools=r.tools, thinking=mode, prompt=True) for r in rows]
            return sum(codec.encode(text) == row.prompt_ids for text, row in zip(texts, rows, strict=True))

        possible = sorted(modes(codec.facts.family), key=lambda mode: mode != self.thinking)
        return max(possible, key=equal)


def load(folder: Path) -> Any:
    """A model for forward passes: on the GPU in its own format, on a CPU in fp32 where memory allows it.

    Raises:
        ConfigError: it cannot be loaded, or comes as code.
    """
    refuse_own_code(folder)
    gpu = torch.cuda.is_available()
    roomy = psutil.virtual_memory().available > 5 * weight_bytes(folder)
    options: dict[str, Any] = {"device_map": "auto"} if gpu else {}
    dtype = torch.float32 if not gpu and roomy else "auto"
    options |= {"local_files_only": True, "trust_remote_code": False}
    with loading(folder):
        return AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype, **options).eval()


def inputs_of(config: RunConfig, base: Path, what: Given) -> dict[str, Any]:
    """What the stage depends on, for the manifest."""
    assert config.foreign is not None
    data = prepared_data.data_inputs(config, base)
    del data["thinking"]
    inputs = data | {
        **{f"foreign.{key}": value for key, value in config.foreign.model_dump(mode="json").items()},
        "base.weights": weights_fingerprint(base),
        "proof.rows": config.proof.rows,
    }
    template = expanded(config.foreign.template or "")
    if template.is_file():
        inputs["foreign.template"] = hashlib.sha256(file_bytes(template)).hexdigest()
    for name, folder in (("merged", what.merged), ("adapter", what.adapter)):
        if folder is not None:
            inputs[f"{name}.files"] = side_files_fingerprint(folder)
            inputs[f"{name}.weights"] = [content_hash(file) for file in sorted(folder.glob("*.safetensors"))]
    return inputs


def _proof(answers: Sequence[ProofAnswer], base: Sequence[float], tuned: Sequence[float]) -> list[ProofRow]:
    return [
        ProofRow(**answer.model_dump(), base_logprob=before, adapter_logprob=after)
        for answer, before, after in zip(answers, base, tuned, strict=True)
    ]


def _stops(folder: Path) -> set[int]:
    """Token ids at which a server ends an answer by itself: the tokenizer's eos and those of generation_config.json."""
    found = set(as_list(read_json(folder / "generation_config.json").get("eos_token_id")))
    eos = read_json(folder / "tokenizer_config.json").get("eos_token")
    name = eos["content"] if isinstance(eos, dict) else eos
    known = tokens_of(folder)
    return found | ({known[name]} if name in known else set())


def _names(scored: Scored) -> str:
    return "; ".join(member.described() for member in scored.group.members)


def _compared(best: Scored, other: Scored) -> dict[str, float | int]:
    return {
        "best_nats": round(best.mean, 2),
        "other_nats": round(other.mean, 2),
        "wins": likelier(best, other)[0],
        "rows": len(best.nats),
    }


def _apart(one: str, other: str, context: int = 60) -> tuple[str, str]:
    """Both texts around the first character in which they differ, as Python spells them."""
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, at - context)
    return repr(one[start : at + context]), repr(other[start : at + context])

"""Everything that a served run is checked for before anybody uses it: parity, proof, behaviour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from configs.errors import TuneserveError
from configs.handover.serving import ServedFigures
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from serve.api.client import ServerClient
from serve.process.server import VllmServer
from serve.proof.behaviour import Behaviour, check_behaviour
from serve.proof.likelihood import Proof, check_proof
from serve.proof.parity import Parity, check_parity

PRECISION_BITS = {"16bit": 16, "8bit": 8, "4bit": 4}
"""Bits of the base's weights under each `train.precision`."""


@dataclass(frozen=True)
class ServedChecks:
    """What was found out about the served model."""

    parity: Parity
    """Token ids against the trained ones."""
    proof: Proof | None
    """Likelihoods against the trained ones; None where the run has no proof rows (full fine-tuning)."""
    behaviour: Behaviour | None = None
    """How it meets a plain client; None where only the weights were checked."""

    @property
    def passed(self) -> bool:
        """Whether what is served is what was trained. Behaviour depends on the data: it is reported, no more."""
        return self.parity.passed and (self.proof is None or self.proof.passed)

    def lines(self, whose: str = "") -> list[tuple[bool, str]]:
        """(passed, what was found) of every check, for the terminal; `whose` stands in front, such as `tuned: `."""
        found = [(self.parity.passed, f"{whose}parity: {self.parity.sentence()}")]
        if self.proof:
            found.append((self.proof.passed, f"{whose}proof: {self.proof.sentence()}"))
        if self.behaviour:
            found.append((self.behaviour.passed, f"{whose}behaviour: {self.behaviour.sentence()}"))
        return found

    def figures(self) -> ServedFigures:
        """For the manifest."""
        return ServedFigures(parity=self.parity, proof=self.proof, behaviour=self.behaviour)

    def require(self, whose: str = "") -> None:
        """Raises a TuneserveError that shows the difference, and `whose` it is, when what is served was not trained."""
        if not self.parity.passed:
            raise TuneserveError(
                f"{whose}parity: {self.parity.sentence()}",
                "the server builds other prompts than were trained: look for `--chat-template` or template settings "
                "among the vLLM arguments, and compare chat_template in the base and in merged/",
            )
        if self.proof and not self.proof.passed:
            raise TuneserveError(f"{whose}proof: {self.proof.sentence()}", _proof_step(self.proof))


def _proof_step(proof: Proof) -> str:
    seen = (
        f"the adapter changes an answer by {proof.mean_effect:.2f} nats on average, the server is off by "
        f"{proof.mean_gap:.2f} nats"
    )
    if proof.served_scale is not None:
        return f"{seen}: merge again with --force; adapters of a running server are loaded again by name"
    if proof.rounded:
        return (
            f"{seen}: export again from this run's adapter; if it was, take more bits (int8 or fp8 before int4), or "
            "accept the loss with --no-check"
        )
    if proof.trained_bits < 16:
        return (
            f"{seen}: merge again with --force; if it was, the base in {proof.trained_bits} bits was too far from the "
            "one that is served: train longer, or in 16 bits (train.precision)"
        )
    return (
        f"{seen}: where the effect is a few nats, number formats alone can do that (train longer); else merge "
        "again with --force, and serve in bf16 instead of fp8"
    )


def verify(
    run: RunDir, config: RunConfig, server: VllmServer, model: str | None = None, rounded: bool = False
) -> ServedChecks:
    """Checks a ready server against what its run trained.

    Args:
        run: the run whose weights or adapter are served.
        config: its recipe.
        server: a server that is ready.
        model: name to ask for; by default the target's.
        rounded: whether the weights are a copy of the run's in fewer bits; those that vLLM rounds while it loads them
            are seen in its command line.
    """
    target = server.command.target
    name = model or target.name
    rounded = rounded or server.command.rounds
    heldout = run.data / "heldout.jsonl"
    behaviour = check_behaviour(server.client, target, name, heldout, max_tokens=config.eval.max_tokens)
    record = run.eval / "proof_served.jsonl" if run.is_writable else None
    return replace(verify_weights(run, config, server.client, name, rounded, record), behaviour=behaviour)


def verify_weights(
    run: RunDir,
    config: RunConfig,
    client: ServerClient,
    name: str,
    rounded: bool = False,
    record: Path | None = None,
) -> ServedChecks:
    """Parity and proof of one name of a running server against the run that trained it; seconds.

    Args:
        run: the run whose weights or adapter are served.
        config: its recipe.
        client: a server that is ready.
        name: the name to ask for.
        rounded: whether the weights are a copy of the run's in fewer bits.
        record: where the likelihoods that the server gives are written.
    """
    proof_file = run.data / "proof.jsonl"
    has_proof = proof_file.is_file() or config.train.method == "lora"
    return ServedChecks(
        parity=check_parity(client, name, run.data / "parity.jsonl"),
        proof=check_proof(
            client, name, proof_file, config.proof, run.scale(), rounded, record, PRECISION_BITS[config.train.precision]
        )
        if has_proof
        else None,
    )

"""What makes the verdict on a model of another trainer `failed`, beside what it scored."""

from __future__ import annotations

from configs.handover.foreign import Finding, fault
from configs.handover.serving import MIN_STOP_RATE, ServedFigures
from configs.run.manifest import Manifest
from eval.compare.comparison import Sentence


def faults(manifest: Manifest) -> list[Sentence]:
    """What is wrong with a model of another trainer, each with the next step; empty for a run of our own.

    Its own runs never get so far: what fails parity or proof there is not asked anything.
    """
    found, served = manifest.facts.foreign, manifest.served()
    if found is None:
        return []
    every = [finding for finding in found.findings if finding.fault] + (_served_faults(served) if served else [])
    return [Sentence(finding.key, finding.values) for finding in every]


def _served_faults(served: ServedFigures) -> list[Finding]:
    findings = []
    parity, proof, behaviour = served.parity, served.proof, served.behaviour
    if not parity.passed:
        findings.append(fault("finding.parity", different=parity.rows - parity.equal, rows=parity.rows))
    if proof is not None and not proof.passed:
        off = round(100 * proof.mean_gap / proof.mean_effect, 1) if proof.mean_effect else 100
        findings.append(fault("finding.proof", off=off, allowed=round(100 * proof.tolerance, 1), rows=proof.rows))
    if behaviour is not None:
        answers = behaviour.answers
        shares = {
            "finding.stop_rate": 1 - behaviour.stop_rate if behaviour.stop_rate < MIN_STOP_RATE else 0,
            "finding.think_leak": behaviour.think_leak_rate,
            "finding.null_content": behaviour.null_rate,
        }
        findings += [
            fault(key, percent=round(100 * share, 1), answers=answers) for key, share in shares.items() if share > 0
        ]
    return findings

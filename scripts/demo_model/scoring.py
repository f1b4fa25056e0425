"""How an answer is scored: exact match after normalisation, and ROUGE-L over characters."""

import unicodedata


def normalise(text: str) -> str:
    """Lower case, NFKC, without white space and punctuation (decimal points and signs inside numbers stay)."""
    folded = unicodedata.normalize("NFKC", text).lower()
    kept = [
        c for i, c in enumerate(folded) if not c.isspace() and (not _is_punctuation(c) or _inside_number(folded, i))
    ]
    return "".join(kept)


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")


def _inside_number(text: str, index: int) -> bool:
    return text[index] in ".-" and index + 1 < len(text) and text[index + 1].isdigit()


def exact_match(answer: str, references: list[str]) -> float:
    """1.0 if the answer equals a reference after normalisation, else 0.0."""
    return float(normalise(answer) in {normalise(reference) for reference in references})


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L F1 over characters, white space left out: F = 2PR/(P+R) from the longest common subsequence."""
    one, two = "".join(answer.split()), "".join(reference.split())
    if not one or not two:
        return 0.0
    previous = [0] * (len(two) + 1)
    for character in one:
        current = [0]
        for column, other in enumerate(two):
            current.append(previous[column] + 1 if character == other else max(previous[column + 1], current[column]))
        previous = current
    return 2 * previous[-1] / (len(one) + len(two))


def score(task: str, answer: str, references: list[str]) -> float:
    """The score of one answer in points, 0 to 100: ROUGE-L for summaries, exact match elsewhere."""
    if task == "summary":
        return 100 * max(rouge_l(answer, reference) for reference in references)
    return 100 * exact_match(answer, references)

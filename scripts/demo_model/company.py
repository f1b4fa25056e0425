"""The made-up company of the teaching set: 栖禾电器, its products, their attributes, and how it works.

None of this is in pretraining. Each fact is asked in wordings for training and in other wordings for the test.
"""

from dataclasses import dataclass

from scripts.demo_model.tables import table

COMPANY = "栖禾电器"
TEXTS = table("company")


@dataclass(frozen=True)
class Fact:
    """One thing that is true of the company, and how to ask for it: `{e}` is the thing, no wording is in both lists."""

    key: str
    thing: str
    value: str
    trained: list[str]
    tested: list[str]


def facts() -> list[Fact]:
    """Every fact of the company: each product's attributes and the company's own."""
    built = [
        Fact(f"{product}-{topic}", f"栖禾{product}", value, **TEXTS.product_wordings[topic])
        for product, values in TEXTS.products.items()
        for topic, value in zip(TEXTS.product_topics, values, strict=True)
    ]
    return built + [Fact(f"company-{key}", COMPANY, **fact) for key, fact in TEXTS.company.items()]

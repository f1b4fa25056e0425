"""Everything that stages know of a run."""

from __future__ import annotations

from pydantic import Field

from configs.handover.base import HandedOver
from configs.handover.foreign import ForeignFacts
from configs.handover.serving import ServedFigures
from configs.handover.training import Plan, PreparedFacts, TrainedFacts


class Facts(HandedOver):
    """What one part learned and another needs; each part fills in its own field."""

    prepared: PreparedFacts | None = None
    """The data stage's."""
    planned: Plan | None = None
    """The layout that training began under; a resumed training keeps its rows a step and its rate."""
    trained: TrainedFacts | None = None
    """Training's."""
    foreign: ForeignFacts | None = None
    """What was found of a model that another trainer made."""
    served: ServedFigures | None = None
    """What the last server of this run was found to be."""
    exported: dict[str, ServedFigures] = Field(default_factory=dict)
    """The same for folders that were exported from this run, by folder."""

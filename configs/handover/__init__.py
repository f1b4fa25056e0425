"""What one part of a run hands to another: the manifest's facts, and the rows of the JSONL files between stages.

Nothing crosses from stage to stage as a bare mapping: a field that one side misspells, forgets or adds is an error that
names it. The data stage hands over `PreparedFacts`, `ParityRow` and `HeldoutRow`; training hands over `TrainedFacts`,
`TrainFigures` and `ProofRow`; a server that was checked hands over `ServedFigures`.
"""

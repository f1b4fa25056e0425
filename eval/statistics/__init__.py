"""The statistics of a paired comparison, as pure functions over arrays; one idea a file.

Scores are fractions (0..1 an item) and differences are tuned minus base throughout; percent points exist only in the
layers above. Nothing here knows about tasks, files or models.
"""

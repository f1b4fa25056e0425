"""Scores of one answer, one file a family. Pure functions of strings: no network, no files, no state."""

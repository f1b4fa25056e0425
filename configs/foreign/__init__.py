"""Recipes of other trainers become ours, with a list of what could not be translated: `tuneserve init --from FILE`."""

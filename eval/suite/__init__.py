"""The built-in suite: items written by hand in `*.jsonl`, and programs that make as many more as a verdict takes."""

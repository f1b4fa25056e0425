"""Harnesses that `scripts.bench.harness` sets the same rows at the same server, each in a process of its own."""

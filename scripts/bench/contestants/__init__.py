"""Harnesses that `bench_harness` sets the same rows at the same server, each in a process and a Python of its own."""

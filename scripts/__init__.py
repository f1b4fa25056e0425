"""The `tuneserve` command line, set-up, demo, tests and benchmarks."""

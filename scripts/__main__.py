"""Where `tuneserve` starts, also as `python -m scripts`."""

from __future__ import annotations

from configs.process.first_moment import ended_without_a_word


def main() -> None:
    """Runs the command line; Ctrl-C while it is imported is no traceback."""
    with ended_without_a_word():
        from scripts.cli import main as run
    run()


if __name__ == "__main__":
    main()

"""Child processes, signals and limits of what runs for a command."""

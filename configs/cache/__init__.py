"""The project's own cache: a private folder, and entries that are made once."""

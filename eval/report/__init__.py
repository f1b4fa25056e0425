"""Renders comparisons: for the terminal, as a page, as Markdown, JSON and JUnit; in English and Chinese."""

"""What is said, in which language, and how it looks."""

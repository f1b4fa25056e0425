"""General questions and answers that a base model writes itself, against forgetting and to measure it."""

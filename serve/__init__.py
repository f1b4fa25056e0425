"""One supervised, stock vLLM OpenAI server for a run or a model folder."""

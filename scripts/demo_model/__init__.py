"""The embedded small Qwen3 and its data: generators, tokenizer, pretraining, held-out check and teaching set."""

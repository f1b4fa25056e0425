"""The verbs of the command line, one file each. Importing them imports none of torch, unsloth, vllm, transformers."""

"""From chat data to proven merged weights, through Unsloth."""

"""A model or an adapter as its files say it, read without torch: sizes, weights, template, what takes it."""

"""From documents to rows: read them, have a model ask about their passages, and keep what stands in them."""

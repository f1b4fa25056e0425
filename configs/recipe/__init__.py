"""What a run is told: the schema, the recipes beside it, and what is wrong with one."""

"""What a run is: schema, recipes, overrides, the run directory. Imports no torch."""

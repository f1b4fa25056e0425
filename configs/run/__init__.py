"""The run directory: its manifest, and whether what lies in it belongs together."""

"""Addresses, and the hubs from which models and data come."""

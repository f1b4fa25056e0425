"""Endpoints to answers to scores to statistics to a report and a gate. HTTP only; imports no torch."""

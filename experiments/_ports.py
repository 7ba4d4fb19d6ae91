"""Ports that servers and those who look for them agree on."""

GRPC_PORT = 13000
"""Of the server before the database of sweeps."""

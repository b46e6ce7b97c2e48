"""Processes and sockets of a served event, without Flask routes."""

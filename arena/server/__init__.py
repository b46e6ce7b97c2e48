"""Processes and sockets of a served event; no Flask routes here. Imports web, services, settings and errors."""

"""The pages and the API: a route parses, calls one service, answers. Imports services, settings and errors only."""

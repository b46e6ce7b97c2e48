"""A demonstration of a whole evening, with simulated voters. Imports cli, server and services."""

"""The pages and the API: a route reads the request, calls one service, and responds."""

"""Services: each function is one action or query in a transaction of its own."""

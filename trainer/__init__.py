"""Train a small language model from scratch and enter its best verse. Never imports `arena`."""

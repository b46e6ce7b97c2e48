"""The audit of a published event in one file, which needs no server and no database."""

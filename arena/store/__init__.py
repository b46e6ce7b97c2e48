"""Storage: the database with its transactions and migrations, and the files of bundles."""

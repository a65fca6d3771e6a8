"""What outlives the process: one SQLite database, its key and the lock of the data folder."""

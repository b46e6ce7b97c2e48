"""What people see of a run: messages, tables, the loss curve and the progress bar."""

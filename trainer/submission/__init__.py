"""From a checkpoint to an entry: write many verses, choose one, pack it and send it to an event."""

"""Pure: bracket, draw, tally. No database, no clock, no randomness of its own."""

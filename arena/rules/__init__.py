"""Rules of an event as pure functions: no database, no clock, no randomness of their own."""

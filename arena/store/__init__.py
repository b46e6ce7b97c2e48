"""Tables and files. Imports rules, errors and settings of the arena; nothing here decides anything."""

"""One verb a function, one transaction each. For web, cli and worker; imports store, rules, trainer.verse."""

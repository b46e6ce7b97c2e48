"""Train a small language model from scratch and enter its best verse. Never imports `arena`.

To learn how such a model comes about, read in this order, about an hour: `corpus` (a text, and what is held back),
`tokenizer` (text to numbers), `model` (numbers to guesses at the next one), `loss` (how wrong the guesses are), `optim`
and `schedule` (how the weights move against that), `train` (the loop); then `verse.generate`: how a model writes.
"""

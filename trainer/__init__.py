"""Train a small language model from scratch and enter its best verse in an event. This package never imports `arena`.

To learn how such a model works, read these files in this order, in about an hour:

1. `corpus`: load a text, and hold back its last tenth for validation.
2. `tokenizer`: convert text to numbers.
3. `dataset`: put both splits on the device.
4. `model`: predict the next token.
5. `loss`: make batches, and measure how wrong the predictions are.
6. `optim` and `schedule`: change the weights to lower the loss.
7. `train`: repeat this, step by step.
8. `verse.generate`: write with the trained model.
"""

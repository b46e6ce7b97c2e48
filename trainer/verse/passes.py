"""How much of a verse one pass of a replay computes at once. Its time and memory follow from that."""

from __future__ import annotations

CHUNK = 96  # positions of one pass, of each copy: bounds the attention matrix
MAX_LOGITS = 2**22  # numbers of one block of logits, 32 MiB: a vocabulary may be large
COPIES = 3  # of the verse: as it is, moved up, moved down

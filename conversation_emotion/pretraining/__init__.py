"""Pre-training on speech without labels: recordings, batches, and the loop that trains on them."""

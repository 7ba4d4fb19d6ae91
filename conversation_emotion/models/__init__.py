"""Models: from hidden states to logits."""

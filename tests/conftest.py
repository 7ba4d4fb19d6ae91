"""Keeps every test away from the network; the hub's client reads this once, at its import."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

"""What needs an encoder's own code, and the only place that knows the encoder packages."""

"""Tasks: what is predicted, its loss, its predictions and its scores."""

"""Figures and pages, for matplotlib and for the browser."""

import matplotlib

matplotlib.use("Agg")  # draws into files, without a display

"""Figures and pages, for matplotlib and for the browser."""

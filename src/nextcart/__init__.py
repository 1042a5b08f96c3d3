"""Recommendations for shops from anonymous sessions alone."""

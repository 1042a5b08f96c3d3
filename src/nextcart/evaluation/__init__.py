"""Replaying held-out sessions through the scoring path that serves, and measuring what it answers."""

"""Published methods, written after their papers for the accuracy benchmark: in numpy and plain Python, to be read."""

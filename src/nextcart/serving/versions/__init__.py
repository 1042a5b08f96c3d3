"""The versions that answer: loaded beside the one that does, watched for, swapped, and released."""

"""What a version is shown of held-out sessions, and what it is asked to find: a module a protocol."""

from nextcart.evaluation.cutting import sample_sessions
from nextcart.evaluation.protocols.next_event import Task, next_event

__all__ = ["Task", "next_event", "sample_sessions"]

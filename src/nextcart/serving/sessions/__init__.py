"""What the service remembers of sessions between requests: in memory, or in a Redis that all workers share."""

from nextcart.serving.sessions.memory import MemorySessions
from nextcart.serving.sessions.opening import open_sessions
from nextcart.serving.sessions.redis_store import OnCall, RedisSessions
from nextcart.serving.sessions.store import SessionState, SessionStore, Shown, State

__all__ = [
    "MemorySessions",
    "OnCall",
    "RedisSessions",
    "SessionState",
    "SessionStore",
    "Shown",
    "State",
    "open_sessions",
]

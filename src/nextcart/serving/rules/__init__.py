"""The shop's rules: what is blocked, pinned and boosted, from a file that may change at any time."""

from nextcart.serving.rules.document import Boost, Pin, Rules, RulesConflict, RulesNotKept, RulesRefused
from nextcart.serving.rules.live import LiveRules

__all__ = ["Boost", "LiveRules", "Pin", "Rules", "RulesConflict", "RulesNotKept", "RulesRefused"]

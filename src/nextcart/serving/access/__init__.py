"""Who may ask what, and how often."""

from nextcart.serving.access.gate import Access
from nextcart.serving.access.headers import SECURITY_HEADERS, with_cors
from nextcart.serving.access.keys import ANONYMOUS, Client, Keys, KeyScope, parse_keys

__all__ = ["ANONYMOUS", "SECURITY_HEADERS", "Access", "Client", "KeyScope", "Keys", "parse_keys", "with_cors"]

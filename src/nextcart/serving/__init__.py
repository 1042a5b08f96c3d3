"""The HTTP service: a published version, asked over HTTP."""

from nextcart.serving.app import create_app
from nextcart.serving.live import LiveModel, LiveVersion, load_version
from nextcart.serving.server import serve

__all__ = ["LiveModel", "LiveVersion", "create_app", "load_version", "serve"]

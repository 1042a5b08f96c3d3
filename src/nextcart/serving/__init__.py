"""The HTTP service: a published version, asked over HTTP."""

from nextcart.serving.app import create_app
from nextcart.serving.live import LiveModel, LiveVersion
from nextcart.serving.loading import load_version
from nextcart.serving.server import serve
from nextcart.serving.services import Services, open_services

__all__ = ["LiveModel", "LiveVersion", "Services", "create_app", "load_version", "open_services", "serve"]

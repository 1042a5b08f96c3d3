"""The HTTP service: a published version, asked over HTTP."""

from nextcart.serving.app import create_app
from nextcart.serving.processes.server import serve
from nextcart.serving.services import Services, open_services
from nextcart.serving.versions.live import LiveModel, LiveVersion
from nextcart.serving.versions.loading import load_version

__all__ = ["LiveModel", "LiveVersion", "Services", "create_app", "load_version", "open_services", "serve"]

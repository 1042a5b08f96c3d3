"""What the service counts, over all its workers, for Prometheus."""

from nextcart.serving.metrics.recorder import Answered, Metrics, Observer, Served

__all__ = ["Answered", "Metrics", "Observer", "Served"]

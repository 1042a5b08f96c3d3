"""The model repository: published versions, their manifests, and which of them is served."""

from nextcart.repository.manifest import Aliases, Artifact, DataFacts, Environment, Manifest, Timing, VersionDraft
from nextcart.repository.repository import Repository

__all__ = [
    "Aliases",
    "Artifact",
    "DataFacts",
    "Environment",
    "Manifest",
    "Repository",
    "Timing",
    "VersionDraft",
]

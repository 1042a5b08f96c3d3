"""The error tree. Every message says what is wrong, where, and what to do about it.

NextcartError
├── InputError              what the user gave cannot be used (exit code 2)
│   ├── ConfigError         nextcart.toml or a NEXTCART__ variable
│   ├── UnreadableInput     a file is missing, not readable, cut short, or not what its name says
│   └── TooManyRejects      more bad records than ingest.max_reject_share allows
├── StoreError              the event store cannot answer (exit code 1)
│   └── StoreMissing        there is no store yet, or the part that is asked for (exit code 2)
├── RepositoryError         the model repository cannot answer (exit code 1)
│   ├── VersionMissing      no such version or alias (exit code 2)
│   └── ArtifactCorrupt     a file differs from its manifest
├── RunFailed               a run could not finish, such as on a full disk (exit code 1)
├── SessionsUnavailable     the session store does not answer now
└── LogUnavailable          the event log takes no events now
    ├── LogFull             its disk is full, or cannot be written
    └── LogBusy             too many events wait for the disk
"""

from __future__ import annotations


class NextcartError(Exception):
    """Base of every error that nextcart raises on purpose; its text is one line with the remedy."""

    exit_code = 1


class InputError(NextcartError):
    """What the user gave cannot be used."""

    exit_code = 2


class ConfigError(InputError):
    """A setting in nextcart.toml or the environment is unknown or out of range."""


class UnreadableInput(InputError):
    """An input file is missing, not readable, cut short, or not what its name says."""


class TooManyRejects(InputError):
    """More records were rejected than ``ingest.max_reject_share`` allows; nothing was committed."""


class StoreError(NextcartError):
    """The event store cannot answer."""


class StoreMissing(StoreError):
    """There is no event store yet, or not the part that is asked for."""

    exit_code = 2


class RepositoryError(NextcartError):
    """The model repository cannot answer."""


class VersionMissing(RepositoryError):
    """The repository holds no such version or alias."""

    exit_code = 2


class ArtifactCorrupt(RepositoryError):
    """A file of a version differs from what its manifest says."""


class RunFailed(NextcartError):
    """A run could not finish; what was there before is untouched."""


class SessionsUnavailable(NextcartError):
    """The session store does not answer now: it is down, slow, or left alone for a while."""


class LogUnavailable(NextcartError):
    """The event log takes no events now; nothing of what was given to it is acknowledged."""


class LogFull(LogUnavailable):
    """The event log's disk is full, or cannot be written."""


class LogBusy(LogUnavailable):
    """Too many events wait for the event log's disk."""

"""The event log: each accepted event on disk before it is acknowledged, in segments that `ingest` reads; and exposures.

events-20261124T021500Z-000007.open        the segment that all worker processes of the host append to
events-20261124T011500Z-000006.jsonl       closed, about to be compressed
events-20261123T231500Z-000005.jsonl.zst   closed and compressed
"""

from nextcart.serving.event_log.erasing import erase
from nextcart.serving.event_log.exposures import ExposureLog
from nextcart.serving.event_log.lines import Exposure, LoggedEvent
from nextcart.serving.event_log.log import EventLog
from nextcart.serving.event_log.segments import closed_segments

__all__ = ["EventLog", "Exposure", "ExposureLog", "LoggedEvent", "closed_segments", "erase"]

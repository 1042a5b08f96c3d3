"""Sessions erased wherever they are: by the running service at once, by ``nextcart erase`` in the event store too."""

from nextcart.serving.erasing.live import Erasures, EventLines
from nextcart.serving.erasing.receipts import Found, Gone, LogFound, Receipt, StoreFound, id_forms
from nextcart.serving.erasing.records import ErasureRecords

__all__ = [
    "ErasureRecords",
    "Erasures",
    "EventLines",
    "Found",
    "Gone",
    "LogFound",
    "Receipt",
    "StoreFound",
    "id_forms",
]

"""What an operator changes: the shop's rules, the version that answers, sessions to erase."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import filterfalse

import msgspec

from nextcart.serving.bodies import count_errors, decode, read_body
from nextcart.serving.lane import Answer, Call, answer
from nextcart.serving.problems import Problem, invalid
from nextcart.serving.routes.health import health_of
from nextcart.serving.rules import Rules, RulesConflict, RulesNotKept, RulesRefused
from nextcart.serving.schemas import FieldError, ItemsRequest
from nextcart.serving.services import Services
from nextcart.types import Id


class AdminRoutes:
    """The handlers that need the scope ``admin``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._config = services.settings.serving
        self._rules = msgspec.json.Decoder(Rules)
        self._items = msgspec.json.Decoder(ItemsRequest)

    async def rules(self, call: Call) -> Answer:
        """The shop's rules as they are in force."""
        del call
        # Another worker may have changed them just now, and whoever asks may be about to replace them.
        await asyncio.to_thread(self._services.rules.poll)
        return answer(self._services.rules.document)

    async def replace_rules(self, call: Call) -> Answer:
        """Put other rules in force, in every worker within a second.

        `version` is that of the rules that they replace, as `GET` gives it: where others have changed the rules
        meanwhile the answer is 409, and nothing is changed.
        """
        rules = decode(await read_body(call, self._config.max_body_bytes), self._rules)
        return await _put(lambda: self._services.rules.replace(rules, rules.version))

    async def block(self, call: Call) -> Answer:
        """Keep items out of every answer from now on, such as those that are sold out."""
        return await self._change(call, lambda block, items: _without_twins([*block, *items]))

    async def unblock(self, call: Call) -> Answer:
        """Let blocked items come again."""
        return await self._change(call, lambda block, items: list(filterfalse(set(items).__contains__, block)))

    async def reload(self, call: Call) -> Answer:
        """Look for a promoted version now, and answer once it is live, or refused.

        The other workers find it by themselves within `swap.poll_seconds`.
        """
        del call
        await self._services.live.reload()
        return answer(health_of(self._services))

    async def erase_session(self, call: Call) -> Answer:
        """Forget a session: in the session store and the event log now, in the event store and models later.

        The receipt says where the session was found, and when it will be gone.
        """
        return answer(await self._services.erasures.erase(call.value))

    async def _change(self, call: Call, change: Callable[[list[Id], list[Id]], list[Id]]) -> Answer:
        items = decode(await read_body(call, self._config.max_body_bytes), self._items).items
        if errors := count_errors("items", len(items), self._config.max_listed_items):
            raise invalid(*errors)
        rules = self._services.rules
        return await _put(
            lambda: rules.change(lambda held: msgspec.structs.replace(held, block=change(held.block, items)))
        )


async def _put(put: Callable[[], Rules]) -> Answer:
    """The rules that ``put`` brings into force; it reads and writes files, so not on the event loop."""
    try:
        return answer(await asyncio.to_thread(put))
    except RulesRefused as error:
        raise invalid(FieldError(error.field, error.reason)) from None
    except RulesConflict as error:
        raise Problem(409, "rules-conflict", "The rules have changed", str(error)) from None
    except RulesNotKept as error:
        raise Problem(503, "rules-not-kept", "The rules cannot be written now", str(error)) from None


def _without_twins(ids: list[Id]) -> list[Id]:
    """Each id once, in its first place; 12 and "12" are two."""
    return list(dict.fromkeys(ids))

"""The rules in force: watched, replaced under a lock that all workers share, and ready as rows of what is served."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet

import msgspec

from nextcart.models.recommender import Recommender
from nextcart.models.rules import RowRules
from nextcart.serving.rules.document import NO_RULES, Rules, RulesConflict, RulesNotKept, RulesRefused, check, parse
from nextcart.serving.rules.files import RulesFiles, Signature
from nextcart.serving.rules.translate import row_rules
from nextcart.types import IdType

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _InForce:
    """A document with its rows for each recommender that was asked about; None where it asks for nothing."""

    rules: Rules
    rows: WeakKeyDictionary[Recommender, RowRules] | None


class LiveRules:
    """A shop's rules, as the file in the state folder has them.

    `current` belongs to the hot path. `poll`, `prepare`, `replace` and `change` read and write files and translate
    up to a million ids: they are for a thread of their own, and any of them may be called from any.

    Attributes:
        refused: why the file's document was not taken, None where it was; what was in force goes on.
    """

    def __init__(self, folder: Path) -> None:
        """Take the file's document, or where that is broken, the newest one that was ever taken."""
        self._files = RulesFiles(folder)
        self._lock = threading.Lock()
        self._in_force = _InForce(NO_RULES, None)
        self._signature: Signature | None = None
        self._data: bytes | None = None
        self._is_unread = False
        self._id_type: IdType | None = None
        self._served: WeakSet[Recommender] = WeakSet()
        self.refused: str | None = None
        self.poll()
        if self.refused is not None:
            self._fall_back()

    @property
    def document(self) -> Rules:
        """The rules in force."""
        return self._in_force.rules

    def current(self, recommender: Recommender) -> RowRules | None:
        """The rules in force as rows of a recommender's catalogue, None where they ask for nothing."""
        in_force = self._in_force
        if in_force.rows is None:
            return None
        return in_force.rows.get(recommender) or _translated(in_force.rules, in_force.rows, recommender)

    def prepare(self, recommender: Recommender) -> None:
        """Make a recommender's rows before it goes live, and with all rules to come: no request then waits for them."""
        with self._lock:
            self._served.add(recommender)
            self._id_type = recommender.vocabulary.id_type
            self.current(recommender)
            try:
                check(self.document, self._id_type)
            except RulesRefused as error:
                self._refuse(f"{error}; until then such items are left out")

    def poll(self) -> bool:
        """Take the file's document where it has changed; whether it was taken."""
        with self._lock:
            try:
                signature = self._files.signature()
                if self._is_known(signature):
                    return False
                data = self._files.read()
            except (RulesRefused, OSError) as error:
                self._is_unread = True
                self._refuse(f"{error}; the rules of version {self.document.version} go on")
                return False
            return self._take(signature, data)

    def replace(self, rules: Rules, expected_version: int) -> Rules:
        """Put other rules in force, in the other workers as soon as they poll.

        Args:
            rules: the new ones; their version is given here.
            expected_version: of the rules that they are to replace.

        Returns:
            The rules with their version, one more than before.

        Raises:
            RulesConflict: the rules are of another version meanwhile.
            RulesRefused: a field is wrong.
            RulesNotKept: they cannot be written, such as on a full disk.
        """

        def put(held: Rules) -> Rules:
            if held.version != expected_version:
                raise RulesConflict(
                    f"the rules are of version {held.version} now, not {expected_version}; read them again, and make "
                    "the change in those"
                )
            return rules

        return self.change(put)

    def change(self, change: Callable[[Rules], Rules]) -> Rules:
        """Put in force what ``change`` makes of the rules as the file has them, while no other worker can change them.

        Raises as `replace`.
        """
        with self._lock:
            try:
                with self._files.held():
                    held, data = self._held()
                    rules = msgspec.structs.replace(change(held), version=held.version + 1)
                    check(rules, self._id_type)
                    if data is not None:
                        self._keep(held.version, data)
                    self._data = self._files.write(rules)
                    self._signature = None
                    self._keep(rules.version, self._data)
            except OSError as error:
                raise RulesNotKept(
                    f"{self._files.file}: cannot be written ({error}); make room and try again"
                ) from None
            self._put_in_force(rules)
            return rules

    def _is_known(self, signature: Signature | None) -> bool:
        if self._is_unread:
            return False
        return signature == self._signature if signature is not None else self._data is None

    def _take(self, signature: Signature | None, data: bytes | None) -> bool:
        # A file of this moment may change again without a sign.
        self._signature = signature if self._files.is_settled(signature) else None
        if data == self._data and not self._is_unread:
            return False
        self._data, self._is_unread = data, False
        try:
            rules = NO_RULES if data is None else parse(data)
            check(rules, self._id_type)
        except RulesRefused as error:
            self._refuse(f"{error}; the rules of version {self.document.version} go on")
            return False
        self._say(rules)
        if data is not None:
            with suppress(OSError), self._files.held():
                self._keep(rules.version, data)
        self._put_in_force(rules)
        return True

    def _refuse(self, why: str) -> None:
        reason = f"{self._files.file}: {why}"
        if reason != self.refused:
            log.error("rules refused: %s", reason)
        self.refused = reason

    def _say(self, rules: Rules) -> None:
        """Log what comes into force; a file that was there from the start is no change."""
        before = self._in_force.rules
        if rules.version <= before.version and before not in (NO_RULES, rules):
            log.warning(
                "rules were changed by hand without a higher version (%d after %d); whoever replaces them by version "
                "does not notice",
                rules.version,
                before.version,
            )

    def _put_in_force(self, rules: Rules) -> None:
        rows: WeakKeyDictionary[Recommender, RowRules] | None = None if rules.is_empty else WeakKeyDictionary()
        if rows is not None:
            for recommender in self._served:
                _translated(rules, rows, recommender)
        self._in_force = _InForce(rules, rows)
        self.refused = None
        counts = (len(rules.block), len(rules.pin), len(rules.boost))
        log.info("rules of version %d are in force: %d blocked, %d pinned, %d boosted", rules.version, *counts)

    def _held(self) -> tuple[Rules, bytes | None]:
        """The file's document and its text; where it is broken, what is in force, which the next one then follows."""
        try:
            data = self._files.read()
            rules = NO_RULES if data is None else parse(data)
            check(rules, self._id_type)
        except RulesRefused:
            return self.document, None
        return rules, data

    def _keep(self, version: int, data: bytes) -> None:
        """Into the history, under the lock; rules come into force without it where the disk is full."""
        try:
            self._files.keep(version, data)
        except OSError as error:
            log.warning("rules of version %d are not in the history: %s", version, error)

    def _fall_back(self) -> None:
        """Take the newest document of the history: a shop that sells nothing of its block list must not begin to."""
        for file in reversed(self._files.kept()):
            with suppress(RulesRefused, OSError):
                rules = parse(file.read_bytes())
                refused = self.refused
                self._put_in_force(rules)
                log.warning("rules of version %d are taken from %s", rules.version, file)
                self.refused = refused
                return


def _translated(rules: Rules, rows: WeakKeyDictionary[Recommender, RowRules], recommender: Recommender) -> RowRules:
    """The rules as rows of the recommender, added to those that are there."""
    rows[recommender], unknown = row_rules(rules, recommender.vocabulary)
    if unknown:
        log.info("rules of version %d name %d items outside the catalogue", rules.version, unknown)
    return rows[recommender]

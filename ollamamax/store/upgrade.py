"""What an operator may ask of a database, with or without a server: which schema it has, and the present one for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from sqlalchemy.exc import SQLAlchemyError

from ollamamax.store.place import Place, place_of
from ollamamax.store.revisions import HEAD_REVISION, bring_to_head, known_revision

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HEAD_REVISION", "Administration"]


@attrs.frozen
class Administration:
    """One database, named as the server's settings name it; it is opened when it is asked for something.

    Attributes:
        url: as for `Store.open`.
        state_directory: as there.
    """

    url: str
    state_directory: Path

    @property
    def name(self) -> str:
        """The database, as it may be shown.

        Raises:
            StoreError: the URL names none.
        """
        return self._place().name

    def upgrade(self) -> str | None:
        """Brings it to the present schema, and makes a SQLite file that is not there.

        Returns:
            The revision that it had, None for an empty one.

        Raises:
            StoreError: it cannot be used, or belongs to another program or a running server.
        """
        place = self._place(make=True)
        place.acquire()
        try:
            engine = place.upgrading_engine()
            try:
                return bring_to_head(engine, place.name)
            except SQLAlchemyError as error:
                raise place.unusable(error) from None
            finally:
                engine.dispose()
        finally:
            place.release()

    def revision(self) -> str | None:
        """The revision that it has, None for an empty one; nothing is changed or made.

        Raises:
            StoreError: it cannot be used, or belongs to another program or a newer version.
        """
        place = self._place()
        engine = place.looking_engine()
        try:
            return known_revision(engine, place.name)
        except SQLAlchemyError as error:
            raise place.unusable(error) from None
        finally:
            engine.dispose()

    def _place(self, *, make: bool = False) -> Place:
        return place_of(self.url, self.state_directory, make=make)

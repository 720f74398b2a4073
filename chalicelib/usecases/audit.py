"""Who changed what, when: the trail of a merchant, newest first."""

from chalicelib.domain.accounts import Audit
from chalicelib.ports import Deps, Page

MAX_LOOKS = 10
"""Pages of the trail that are looked through for somebody's changes, before the reader is asked to go on."""


def trail(
    deps: Deps, merchant_id: str, *, subject: str = "", by: str = "", limit: int = 50, cursor: str | None = None
) -> Page[Audit]:
    """All changes, or those of one subject, or by one person or token (or both), at most `limit`.

    The page may hold fewer, or none, and still have a cursor: then there is more to look through.
    """
    found: list[Audit] = []
    for _ in range(MAX_LOOKS):
        page = _page(deps, merchant_id, subject, limit - len(found), cursor)
        found += [entry for entry in page.items if not by or entry.by == by]
        cursor = page.cursor
        if cursor is None or len(found) >= limit:
            break
    return Page(tuple(found), cursor)


def _page(deps: Deps, merchant_id: str, subject: str, limit: int, cursor: str | None) -> Page[Audit]:
    if subject:
        owner = (merchant_id, "audit", subject)
        return deps.store.list(Audit, owner, limit=limit, cursor=cursor, newest_first=True)
    return deps.store.newest(Audit, merchant_id, limit=limit, cursor=cursor)

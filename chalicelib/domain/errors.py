"""Every error this service raises on purpose.

RouterError
  InvalidRequest        the caller's fault; `field` says which field
  Unauthorized          no token, or not a valid one
  NotFound              nothing of that id belongs to this merchant
    NotIssued           there was never a cash receipt for it
  Refused               understood, but a rule or the state of things forbids it
  NoChannel             no channel of the group can take the request; `exclusions` says why, one by one
  TryAgain              another request for the same thing is under way
  Locked                too many wrong passwords; `seconds` says for how long
  NotApplicable         it is there, but it is not of the kind that this can be asked of
  NotSupported          nobody here offers this feature
  Unavailable           it cannot be done just now; worth repeating

A card decline is an outcome (`charging.Declined`), not an error. Messages are Korean first: they reach the
merchant as they are, and never contain card data or credentials.
"""

from collections.abc import Sequence


class RouterError(Exception):
    """Root of the tree. `message` is meant for the merchant."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(RouterError):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Unauthorized(RouterError):
    pass


class NotFound(RouterError):
    pass


class NotIssued(NotFound):
    pass


class Refused(RouterError):
    """`code` is V1's number: 1 = on our side, -1 = a gateway or a card check said no."""

    def __init__(self, message: str, *, code: int = 1, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class TryAgain(Refused):
    pass


class Locked(Refused):
    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class NoChannel(Refused):
    def __init__(self, message: str, exclusions: Sequence[tuple[str, str]]) -> None:
        super().__init__(message)
        self.exclusions = tuple(exclusions)


class NotApplicable(RouterError):
    pass


class NotSupported(RouterError):
    pass


class Unavailable(RouterError):
    pass

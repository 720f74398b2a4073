"""The HTTP edge: one Blueprint per resource.

`chalice deploy`, tests and every Lambda import app.py, and with it every route, but what stands behind a route is
needed when it is first called. So those modules are registered here to be loaded at their first use; view modules
import them as usual. On Lambda `tasks.warm` loads all in the init phase (docs/adr/0006).
"""

import importlib.util
import sys
from typing import TYPE_CHECKING

_AT_FIRST_USE = (
    "chalicelib.ports",
    "chalicelib.usecases.billing_keys",
    "chalicelib.usecases.by_hand",
    "chalicelib.usecases.cancels",
    "chalicelib.usecases.cash_receipts",
    "chalicelib.usecases.charge_notices",
    "chalicelib.usecases.channels",
    "chalicelib.usecases.charges",
    "chalicelib.usecases.checking",
    "chalicelib.usecases.groups",
    "chalicelib.usecases.health",
    "chalicelib.usecases.lookups",
    "chalicelib.usecases.merchants",
    "chalicelib.usecases.preparing",
    "chalicelib.usecases.rescheduling",
    "chalicelib.usecases.schedules",
    "chalicelib.usecases.timer",
    "chalicelib.usecases.tokens",
    "chalicelib.usecases.virtual_accounts",
    "chalicelib.usecases.webhooks",
    "chalicelib.usecases.windows",
    "chalicelib.storage.items",
    "chalicelib.storage.queue",
    "chalicelib.api.schemas",
    "chalicelib.api.views",
)


def _register(name: str) -> None:
    """Put a module in place that runs its code when the first of its names is asked for."""
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    package, _, attribute = name.rpartition(".")
    setattr(sys.modules[package], attribute, module)


def load_all() -> None:
    """Run them all now. The loader is not made for threads, so a process with several calls this first."""
    for name in _AT_FIRST_USE:
        vars(sys.modules[name])


if not TYPE_CHECKING:
    for _name in _AT_FIRST_USE:
        _register(_name)

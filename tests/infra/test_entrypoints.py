"""Every deployed handler can be imported by its module string, alone, in a fresh interpreter.

Lambda does just that. Chalice's test client does not: it always goes through app.py, so a handler that lives in a
Blueprint's module works there and fails when deployed.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.infra.project import ROOT

CONFIG = json.loads((ROOT / ".chalice" / "config.json").read_text())
HANDLERS = ["app.app", "app.deliver_notices", "app.deliver_slow_notices", "app.run_payments", "app.sweep"]
LIST_HANDLERS = """
import json
from app import app
print(json.dumps([source.handler_string for source in app.event_sources] + ["app.app"]))
"""


def run(code, stage="dev"):
    environment = os.environ | CONFIG["stages"][stage]["environment_variables"] | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def handlers():
    return sorted(json.loads(run(LIST_HANDLERS)))


def test_the_entry_points_are_these():
    assert handlers() == HANDLERS


@pytest.mark.parametrize("stage", CONFIG["stages"])
@pytest.mark.parametrize("handler", HANDLERS)
def test_an_entry_point_is_found_where_lambda_looks(handler, stage):
    module, name = handler.rsplit(".", 1)
    assert run(f"import importlib; print(callable(importlib.import_module({module!r}).{name}))", stage) == "True\n"


def test_importing_makes_no_client_and_no_thread():
    """An import must work without credentials, and before a test has set up its own AWS."""
    code = """
import sys, threading
import app
print(threading.active_count(), sorted({"boto3", "botocore.client"} & set(sys.modules)))
"""
    assert run(code) == "1 []\n"


def test_on_lambda_everything_is_loaded_before_the_first_request():
    code = """
import os, sys
os.environ["AWS_LAMBDA_FUNCTION_NAME"] = "smart-routing-dev"
import app
waiting = [n for n, m in sys.modules.items() if n.startswith("chalicelib") and "Lazy" in type(m).__name__]
from chalicelib import container
print(waiting, "pydantic" in sys.modules, container._deps is not None, "chalicelib.gateways.nice_v2" in sys.modules)
"""
    assert run(code) == "[] True True True\n"


def test_importing_runs_only_what_every_process_needs():
    """What a request needs is loaded by the first that needs it (docs/adr/0006): none of these by the import alone."""
    code = """
import sys
import app
heavy = ["chalicelib.api.schemas", "chalicelib.api.views", "chalicelib.api.operations", "chalicelib.domain.charging",
         "chalicelib.domain.payments", "chalicelib.ports", "chalicelib.usecases.charges", "cryptography", "pydantic"]
print([name for name in heavy if name in sys.modules and type(sys.modules[name]).__name__ != "_LazyModule"])
"""
    assert run(code) == "[]\n"

"""Runs one handler as Lambda does: a fresh interpreter, the unpacked package, the layer, and nothing else of this project.

Started as `python -I -S cold.py`, so that no site-packages are on the path. Reads a request from standard input, writes
the answer and the AWS calls that were made to standard output.
"""

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace


def main():
    request = json.load(sys.stdin)
    # By this name the service knows that it is on Lambda, and loads everything at once.
    os.environ["AWS_LAMBDA_FUNCTION_NAME"] = "smart-routing"
    os.environ.update(request["environment"])
    os.chdir(request["function"])
    sys.path[:0] = [request["function"], request["layer"]]
    with recorder(request["recorder"]).recorded() as calls:
        module, name = request["handler"].rsplit(".", 1)
        handler = getattr(importlib.import_module(module), name)
        answers = [handler(event, SimpleNamespace(**request["context"])) for event in request["events"]]
    foreign = sorted(path for path in map(path_of, list(sys.modules.values())) if path and not at_home(path, request))
    # Handlers may print (metrics are printed); the answer is the last line.
    print("\n" + json.dumps({"answers": answers, "calls": [(c.action, c.resource) for c in calls], "foreign": foreign}))


def recorder(path):
    spec = importlib.util.spec_from_file_location("aws_calls", path)
    sys.modules["aws_calls"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def path_of(module):
    return getattr(module, "__file__", None)


def at_home(path, request):
    stdlib = str(Path(os.__file__).parent)
    allowed = (request["function"], request["layer"], request["recorder"], __file__)
    return path.startswith(allowed) or (path.startswith(stdlib) and "site-packages" not in path)


main()

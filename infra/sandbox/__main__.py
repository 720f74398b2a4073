"""Run simulators until SIGTERM or Ctrl-C: python -m infra.sandbox --ports '{"tosspayments": 9001}' [--data DIR]

Prints one line of JSON, provider -> URL, when all of them listen.
"""

import argparse
import json
import signal
import threading
from pathlib import Path

from infra.sandbox.server import PROVIDERS, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.sandbox", description=__doc__)
    parser.add_argument(
        "--ports", type=json.loads, default=dict.fromkeys(PROVIDERS, 0), help="JSON, provider -> port (0: any)"
    )
    parser.add_argument("--data", type=Path, help="folder that keeps the books; without it each run starts clean")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with run(list(options.ports), ports=options.ports, data=options.data) as sandboxes:
        print(json.dumps({name: sandbox.url for name, sandbox in sandboxes.items()}), flush=True)
        ended.wait()


if __name__ == "__main__":
    main()

"""`make run`: the whole service on this machine, with everything it needs, and a demo merchant to try it with.

    PORT=8000 python -m infra.local

Starts, as processes of their own: AWS (infra.local_aws), the gateways' simulators (infra.sandbox), the API
(infra.local_api) and the worker that runs the queues and the minute rule (infra.local_worker). Ctrl-C and SIGTERM end
them all; so does the end of any of them. What it printed is also in `.local/sandbox.json` while it runs.

The environment may say otherwise:

    PORT                       where the API listens (8000; 0: any free port)
    LOCAL_DATA                 a folder that keeps the simulators' books, the key and the merchant's secrets over a
                               restart; the table too is kept only by a DynamoDB elsewhere, see below
    GATEWAY_URLS               JSON, provider -> base URL: another server in place of the simulator
    AWS_ENDPOINT_URL           another AWS (LocalStack) in place of ours
    AWS_ENDPOINT_URL_DYNAMODB  another DynamoDB (DynamoDB Local); the rest stays ours
    RECOVERY_SCALE             how much faster than in production recovery goes (0.01)
    LOG_LEVEL                  of the service (WARNING)
"""

import argparse
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import urllib.error
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import config
from chalicelib.ports import StoreUnavailable
from infra.local_demo import AdminRefused, demo_merchant, forget, sandbox_json, send_notices, welcome, write_private
from infra.local_names import KEY_ALIAS, REGION
from infra.local_processes import Child, Children, Died
from infra.sandbox import PROVIDERS
from infra.table import create_table, template

PROJECT = Path(__file__).resolve().parent.parent
SANDBOX_FILE = PROJECT / ".local" / "sandbox.json"
QUEUES = {
    "PAYMENTS_QUEUE_URL": "PaymentsQueue",
    "NOTICES_QUEUE_URL": "NoticesQueue",
    "SLOW_NOTICES_QUEUE_URL": "SlowNoticesQueue",
}
KEPT_AWS_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_KMS")


class Stop(Exception):
    """The service cannot run. The text is for the person in front of the terminal."""


# --- the environment of every process ------------------------------------------------------------------------------


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Ours, from the caller's: whatever they are signed in to, no call leaves for the real AWS or through a proxy."""
    ours = {name: value for name, value in given.items() if not name.startswith("AWS_") or name in KEPT_AWS_VARIABLES}
    hosts = [host for host in (given.get("NO_PROXY"), given.get("no_proxy"), "127.0.0.1,localhost") if host]
    return {
        "RECOVERY_SCALE": "0.01",
        "LOG_LEVEL": "WARNING",
        **ours,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": ",".join(hosts),
        "no_proxy": ",".join(hosts),
        "STAGE": "local",
        "LIVE": "0",
        "ALLOW_LOOPBACK": "1",
        "PYTHONUNBUFFERED": "1",
    }


def gateway_urls(text: str) -> dict[str, str]:
    try:
        urls = json.loads(text or "{}")
    except ValueError as error:
        raise Stop(f"GATEWAY_URLS is not JSON: {error}") from error
    if not isinstance(urls, dict) or not all(isinstance(url, str) for url in urls.values()):
        raise Stop("GATEWAY_URLS must be a JSON object, provider -> base URL")
    return urls


def listen(port_text: str) -> socket.socket:
    """The API's socket. Bound here, first of all: a port in use is said at once, and nobody can take it meanwhile."""
    if not port_text.isdecimal() or int(port_text) > 65535:
        raise Stop(f"PORT must be a number from 0 to 65535, and is {port_text!r}")
    try:
        return socket.create_server(("127.0.0.1", int(port_text)), backlog=256)
    except OSError as error:
        raise Stop(
            f"port {port_text} cannot be used ({os.strerror(error.errno or 0)}). Is another `make run` going on? "
            "Name another port: PORT=8001 make run"
        ) from error


# --- what AWS has to hold ------------------------------------------------------------------------------------------


def make_resources() -> dict[str, str]:
    """Key, table and queues, made where they are missing; returns the variables that name them."""
    try:
        key_id = _key()
        name = f"smart-routing-local-{key_id[:8]}"
        _table(name)
        return {"KMS_KEY_ID": key_id, "TABLE_NAME": name, **_queues(name)}
    except (BotoCoreError, ClientError, ValueError) as error:
        raise Stop(f"AWS on this machine does not do as asked: {error}") from error


def _client(service: str) -> Any:
    return boto3.client(service, config=Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2}))


def _key() -> str:
    kms = _client("kms")
    try:
        found = kms.describe_key(KeyId=KEY_ALIAS)
    except kms.exceptions.NotFoundException:  # another AWS than ours
        found = kms.create_key(Description="smart-routing local")
        kms.create_alias(AliasName=KEY_ALIAS, TargetKeyId=found["KeyMetadata"]["KeyId"])
    key_id: str = found["KeyMetadata"]["KeyId"]
    return key_id


def _table(name: str) -> None:
    """The name is bound to the key: a table that another run has filled under another key cannot be read anyway."""
    dynamodb = _client("dynamodb")
    try:
        dynamodb.describe_table(TableName=name)
    except dynamodb.exceptions.ResourceNotFoundException:
        create_table(dynamodb, name)


def _queues(prefix: str) -> dict[str, str]:
    sqs = _client("sqs")
    made = {}
    for variable, resource in QUEUES.items():
        properties = template()["Resources"][resource]["Properties"]
        name = properties["QueueName"]["Fn::Sub"].replace("smart-routing-${Stage}", prefix)
        attributes = {"VisibilityTimeout": str(properties["VisibilityTimeout"])}
        made[variable] = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return made


# --- running it ----------------------------------------------------------------------------------------------------


def run(children: Children, listener: socket.socket, sandbox_file: Path) -> None:
    """Start everything, say so, and wait. Raises Died when a process ends that should not."""
    api = f"http://127.0.0.1:{listener.getsockname()[1]}"
    forget(sandbox_file, api)
    elsewhere = gateway_urls(os.environ.get("GATEWAY_URLS", ""))
    with contextlib.ExitStack() as on_end:
        data = on_end.enter_context(_folder(os.environ["LOCAL_DATA"])) if os.environ.get("LOCAL_DATA") else None
        aws = None
        if "AWS_ENDPOINT_URL" not in os.environ:
            aws = _start(children, "infra.local_aws", "--port", "0", data=data)
        ports = json.dumps({provider: 0 for provider in PROVIDERS if provider not in elsewhere})
        sandbox = _start(children, "infra.sandbox", "--ports", ports, data=data)
        if aws:
            os.environ["AWS_ENDPOINT_URL"] = json.loads(children.first_line(aws))["aws"]
        gateways = {**json.loads(children.first_line(sandbox)), **elsewhere}
        os.environ["GATEWAY_URLS"] = json.dumps(gateways)
        os.environ.update(make_resources())
        config.load()  # says what is wrong with the environment before four processes do
        with listener:
            children.start("the API", "infra.local_api", "--demo", str(sandbox_file), socket_fd=listener.fileno())
        children.start("the worker", "infra.local_worker")
        merchant = _merchant(children, api, data)
        send_notices(api, merchant, {name: url for name, url in gateways.items() if name not in elsewhere})
        demo = sandbox_json(api, merchant, gateways)
        on_end.callback(forget, sandbox_file, api)
        write_private(sandbox_file, demo)
        print(welcome(demo, merchant["webhook_secret"], sandbox_file), flush=True)
        children.watch()


@contextlib.contextmanager
def _folder(name: str) -> Iterator[Path]:
    """The folder of LOCAL_DATA, for one run at a time: two would overwrite each other's books."""
    folder = Path(name).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
    except BlockingIOError as error:
        raise Stop(f"LOCAL_DATA={name} is in use by another run") from error


def _start(children: Children, module: str, *arguments: str, data: Path | None) -> Child:
    keep = ("--data", str(data)) if data else ()
    return children.start(module, module, *arguments, *keep, announces=True)


def _merchant(children: Children, api: str, data: Path | None) -> dict[str, Any]:
    try:
        return demo_merchant(api, data / "merchant.json" if data else None)
    except (OSError, urllib.error.URLError) as error:
        children.check()
        raise Stop(f"the API does not answer at {api}: {error}") from error
    except (AdminRefused, StoreUnavailable) as error:
        raise Stop(str(error)) from error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description="Run the whole service on this machine.")
    parser.add_argument(
        "--sandbox-file", type=Path, default=SANDBOX_FILE, help="where to write what it prints, as JSON"
    )
    chosen = parser.parse_args(arguments)
    _listen_to_signals()
    clean = environment(os.environ)
    os.environ.clear()
    os.environ.update(clean)
    try:
        with listen(os.environ.get("PORT") or "8000") as listener, Children() as children:
            try:
                run(children, listener, chosen.sandbox_file)
            finally:
                _be_deaf()
    except KeyboardInterrupt:
        return 0
    except (Stop, Died, config.ConfigError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _listen_to_signals() -> None:
    for number in _SIGNALS:
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # started by nohup: the terminal may close
        signal.signal(number, _interrupt)


def _be_deaf() -> None:
    """We are ending already: an impatient second Ctrl-C must not cut that short."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

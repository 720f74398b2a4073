"""A merchant's day with the functions that would be deployed: set up, sell, take orders, be told, give money back."""

import dataclasses
import importlib
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infra.sandbox import run as run_sandboxes
from tests.infra.package import SCHEDULED, Package, rest_event, sqs_event
from tests.infra.stack import STAGE
from tests.support.aws_calls import Call

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

CREATE_MERCHANT = """
import dataclasses, json
from chalicelib import container
from chalicelib.usecases import merchants
print(json.dumps(dataclasses.asdict(merchants.create(container.get(), "demo"))))
"""
CARD = {"card_number": "4242-4242-4242-4242", "expiry": "2030-12", "birth": "880101", "pwd_2digit": "12"}
GATEWAYS = ("tosspayments", "nice_v2")
PATIENCE = 300


@dataclasses.dataclass
class Service:
    """A deployed stage whose gateways are simulators; a call is an event to a fresh process of a function."""

    package: Package
    environment: dict[str, str]
    merchant: dict[str, str]

    def api(self, method, path, body, token, resource=None):
        headers = {"Content-Type": "application/json", "Authorization": token}
        event = rest_event(method, path, json.dumps(body) if body is not None else None, headers, resource)
        [answer] = self.package.call("api_handler", event, **self.environment)
        return answer["statusCode"], json.loads(answer["body"])

    def admin(self, method, path, body):
        status, answer = self.api(method, path, body, f"Bearer {self.merchant['admin_token']}")
        assert status in (200, 201), answer
        return answer

    def v1(self, method, path, body, token, resource=None):
        status, answer = self.api(method, path, body, token, resource)
        assert (status, answer["code"]) == (200, 0), answer
        return answer["response"]

    def drain(self, queue, function):
        """Give the function what its queue holds, as Lambda's poller does."""
        client = self.package.stack.client("sqs")
        variables = self.package.stack.json("config.json")["stages"][STAGE]["environment_variables"]
        url = variables[f"{queue.upper()}_QUEUE_URL"]
        deadline = time.monotonic() + PATIENCE
        done = 0
        while time.monotonic() < deadline:
            messages = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
                "Messages", []
            )
            if done and not messages:
                break
            for message in messages:
                event = sqs_event(queue, message["Body"])
                assert self.package.call(function, event, **self.environment) == [{"batchItemFailures": []}]
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                done += 1
            time.sleep(0.2)
        return done


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((json.loads(body), dict(self.headers)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def shop():
    """The merchant's server, which webhooks go to."""
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    server.received = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def boxes():
    with run_sandboxes() as made:
        yield made


@pytest.fixture(scope="module")
def service(package, boxes, shop):
    stack = package.stack
    made = subprocess.run(
        [sys.executable, "-c", CREATE_MERCHANT],
        cwd=stack.project,
        env=stack.environment | stack.json("config.json")["stages"][STAGE]["environment_variables"],
        capture_output=True,
        text=True,
        check=True,
    )
    urls = json.dumps({name: boxes[name].url for name in GATEWAYS})
    service = Service(package, {"GATEWAY_URLS": urls, "ALLOW_LOOPBACK": "1"}, json.loads(made.stdout))
    set_up_channels(service, f"http://127.0.0.1:{shop.server_port}/webhook")
    return service


def set_up_channels(service, webhook_url):
    keys = []
    for name in GATEWAYS:
        channel = {
            "name": name,
            "pg_provider": name,
            "pg_id": f"mid_{name}",
            "environment": "test",
            "credentials": importlib.import_module(f"infra.sandbox.{name}").TEST_CREDENTIALS,
        }
        keys.append(service.admin("POST", "/admin/channels", channel)["channel_key"])
    entries = [{"channel_key": key, "weight": 50, "enabled": True} for key in keys]
    group = service.admin(
        "POST", "/admin/channel-groups", {"name": "default", "environment": "test", "channels": entries}
    )
    settings = service.admin("GET", "/admin/settings", None)
    wanted = settings | {"default": group["id"], "test_webhook_url": webhook_url}
    service.admin("PUT", "/admin/settings", wanted)


def captured(boxes):
    return [t for name in GATEWAYS for t in boxes[name].transactions() if t["state"] == "captured"]


def test_a_merchants_day(service, boxes, shop):
    keys = {name: service.merchant[name] for name in ("imp_key", "imp_secret")}
    token = service.v1("POST", "/users/getToken", keys, "")["access_token"]

    customer = "/subscribe/customers/customer-1"
    template = "/subscribe/customers/{customer_uid}"
    started = time.monotonic()
    service.v1("POST", customer, CARD, token, template)
    a_call = time.monotonic() - started
    order = {"customer_uid": "customer-1", "merchant_uid": "order-1", "amount": 8900, "name": "구독"}
    paid = service.v1("POST", "/subscribe/payments/again", order, token)
    assert paid["status"] == "paid"

    # Soon, and yet after the booking has arrived, however slow this machine is.
    soon = int(time.time() + 4 + 4 * a_call)
    later = {"merchant_uid": "order-2", "amount": 5000, "schedule_at": soon, "name": "구독"}
    booking = {"customer_uid": "customer-1", "schedules": [later]}
    service.v1("POST", "/subscribe/payments/schedule", booking, token)
    service.package.call("sweep", SCHEDULED, **service.environment)
    assert service.drain("payments", "run_payments") >= 1
    found = service.v1("GET", "/payments/find/order-2", None, token, "/payments/find/{merchant_uid}")
    assert found["status"] == "paid"
    assert sorted(t["amount"] for t in captured(boxes)) == [5000, 8900]

    assert service.drain("notices", "deliver_notices") >= 2
    told = {body["merchant_uid"]: body["status"] for body, _ in shop.received}
    assert told == {"order-1": "paid", "order-2": "paid"}
    assert all("Webhook-Signature" in {h.title() for h in headers} for _, headers in shop.received)

    back = service.v1("POST", "/payments/cancel", {"imp_uid": paid["imp_uid"]}, token)
    assert back["status"] == "cancelled"
    assert [t["amount"] for t in captured(boxes)] == [5000]
    service.v1("DELETE", customer, None, token, template)


def test_it_asked_aws_for_what_the_policy_is_for(service):
    """Package.call has checked that each call was allowed; this checks that the day was a full one."""
    assert {
        "dynamodb:BatchGetItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "sqs:SendMessage",
    } <= {call.action for call in service.package.calls}
    assert {call for call in service.package.calls if call.action == "sqs:SendMessage"} == {
        Call("sqs:SendMessage", "smart-routing-dev-payments"),
        Call("sqs:SendMessage", "smart-routing-dev-notices"),
    }

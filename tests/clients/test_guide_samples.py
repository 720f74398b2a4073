"""The integration guide's own samples, run by Node against the service on this machine."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.local_service import until
from tests.support.real import require

pytestmark = pytest.mark.real

SAMPLES = Path(__file__).with_name("guide_samples.mjs")


@pytest.fixture
def run_sample(local_service):
    node = require("node")

    def run(name, **environment):
        given = {
            "BASE_URL": local_service["api"],
            "ACCESS_TOKEN": local_service.token,
            "GROUP_ID": local_service["groups"]["default"],
            **environment,
        }
        done = subprocess.run(
            [node, SAMPLES, name], env=os.environ | given, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["code"] == 0, answer
        return answer["response"]

    return run


def the_only_capture(service, imp_uid, amount):
    [transaction] = service.transactions(imp_uid)
    assert (transaction["state"], transaction["amount"], transaction["balance"]) == ("captured", amount, amount)
    return transaction


def test_onetime(local_service, run_sample):
    payment = run_sample("onetime")
    assert (payment["status"], payment["merchant_uid"]) == ("paid", "ORD20180131-0000011")
    the_only_capture(local_service, payment["imp_uid"], 1000)


def test_issue_then_again(local_service, run_sample):
    payment = run_sample("issue_and_again")
    assert (payment["status"], payment["amount"], payment["customer_uid"]) == ("paid", 8900, "customer_uid")
    the_only_capture(local_service, payment["imp_uid"], 8900)


def test_schedule_is_captured_at_its_second_and_told(local_service, run_sample, hook):
    schedule_at = int(time.time()) + 3
    [booked] = run_sample("schedule", SCHEDULE_AT=str(schedule_at), NOTICE_URL=hook.url)
    assert (booked["merchant_uid"], booked["schedule_status"]) == ("order_monthly_0001", "scheduled")
    [(headers, body)] = until(lambda: hook.messages, schedule_at + 10 - time.time(), "the webhook")
    message = json.loads(body)
    capture = the_only_capture(local_service, message["imp_uid"], 8900)
    assert 0 <= capture["time"] - schedule_at < 2
    assert message == {"imp_uid": message["imp_uid"], "merchant_uid": "order_monthly_0001", "status": "paid"}
    assert headers["content-type"] == "application/json"
    assert headers["webhook-signature"] == signature(local_service.webhook_secret, headers, body)
    assert local_service.call(f"/payments/{message['imp_uid']}")["response"]["status"] == "paid"


def signature(secret, headers, body):
    """Standard Webhooks, worked out on the receiver's side."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 60
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

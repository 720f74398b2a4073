"""/openapi.json held to what the service really answers, by schemathesis: it calls every operation with what the
reference allows, and with what it does not.

More of it, by hand:

    EXAMPLES=300 .venv/bin/pytest tests/clients/test_schemathesis.py
    PHASES=coverage,stateful .venv/bin/pytest tests/clients/test_schemathesis.py
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.local_service import CARD, running

EXAMPLES = os.environ.get("EXAMPLES", "15")
PHASES = os.environ.get("PHASES", "examples,fuzzing")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
"""The others ask for what V1 is not:

negative_data_rejection, positive_data_acceptance: V1's clients send what no schema would allow (a list for a text), and
rules refuse what any schema allows (an instant in the past)
missing_required_header, ignored_auth: V1 has three headers for one token, and each will do
unsupported_method, allow_header_conformance: API Gateway's answers, not ours
use_after_free, ensure_resource_availability: V1 answers HTTP 200 for a billing key that is gone
"""
DAY = 86400


@pytest.fixture
def service(tmp_path):
    """Its own: it loses channels, and its settings change."""
    with running(tmp_path) as service:
        yield service


def known(service):
    """Parameter -> values that get further than "not found". One in five is made up all the same."""
    orders, keys = [f"order-{n}" for n in range(5)], [f"key-{n}" for n in range(3)]
    payments = [
        service.call("/subscribe/payments/onetime", {"merchant_uid": o, "amount": 1000, **CARD}) for o in orders
    ]
    imp_uids = [payment["response"]["imp_uid"] for payment in payments]
    service.call("/payments/cancel", {"imp_uid": imp_uids[0], "amount": 400})
    for key in keys:
        service.call(f"/subscribe/customers/{key}", CARD)
    later = int(time.time()) + DAY
    booked = [{"merchant_uid": f"later-{n}", "schedule_at": later + n, "amount": 500} for n in range(5)]
    service.call("/subscribe/payments/schedule", {"customer_uid": keys[0], "schedules": booked})
    service.call("/subscribe/payments/unschedule", {"merchant_uid": "later-0"})
    service.call("/payments/prepare", {"merchant_uid": orders[0], "amount": 1000})
    groups, channels = [service["groups"]["default"]], list(service["channels"].values())
    return {
        "path.imp_uid": imp_uids,
        "path.merchant_uid": [*orders, *(entry["merchant_uid"] for entry in booked)],
        "path.customer_uid": keys,
        "path.payment_status": ["all", "ready", "paid", "cancelled", "failed"],
        "path.card_standard_code": ["361", "365"],
        "path.bank_standard_code": ["004", "088"],
        "path.channel_key": channels,
        "path.group_id": groups,
        "body.imp_uid": imp_uids,
        "body.customer_uid": keys,
        "body.channelGroupId": groups,
        "body.channel_key": channels,
        "body.schedule_at": [later, later + DAY],
        "body.schedules[*].schedule_at": [later, later + DAY],
        "body.default": groups,
        **{f"body.{name}": [value] for name, value in CARD.items()},
    }


def configuration(service):
    """TOML, whose strings and lists are JSON's."""
    values = {json.dumps(name): json.dumps(several) for name, several in known(service).items()}
    return "\n".join(
        [
            f'auth.openapi.token.api_key = "{service.token}"',
            f'auth.openapi.header.api_key = "{service.token}"',
            f'auth.openapi.bearer.bearer = "{service.token}"',
            f'auth.openapi.admin.bearer = "{service["admin_token"]}"',
            # 501 is how we tell what we do not offer. That the reference says so is the next check's matter.
            'checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 501]',
            *(f"dictionaries.{name}.values = {several}" for name, several in values.items()),
            *(f"parameters.{name} = {{ dictionary = {name}, probability = 0.8 }}" for name in values),
        ]
    )


def test_every_answer_is_as_the_reference_says(service, tmp_path):
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(configuration(service))
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            *(program, "--config-file", settings, "run", f"{service['api']}/openapi.json"),
            *("--checks", ",".join(CHECKS), "--phases", PHASES, "--max-examples", EXAMPLES),
            *("--generation-deterministic", "--continue-on-failure", "--no-shrink", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

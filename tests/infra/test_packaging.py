"""What `chalice package` makes is what Lambda will run: unpacked, it runs without this project's environment."""

import json
import re
import sys
import zipfile

import pytest

from tests.infra.package import SCHEDULED, rest_event, sqs_event, task
from tests.infra.project import ROOT
from tests.infra.stack import STAGE
from tests.support.aws_calls import Call

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

HANDLERS = ["api_handler", "sweep", "run_payments", "deliver_notices", "deliver_slow_notices"]


# --- what was packaged ---


def test_four_functions_and_no_other(package):
    assert sorted(package.functions()) == sorted(HANDLERS)


@pytest.mark.parametrize("name", HANDLERS)
def test_a_function_is_configured_as_the_stage_says(package, name):
    config = package.stack.json("config.json")
    made = package.functions()[name]
    assert made["Timeout"] == config["lambda_functions"][name]["lambda_timeout"]
    assert made["MemorySize"] == 1024
    assert made["Environment"]["Variables"] == config["stages"][STAGE]["environment_variables"]
    assert made["Runtime"] == f"python3.{sys.version_info.minor}"
    assert made["Layers"]


def test_every_role_has_the_policy_of_the_stage_and_no_more(package):
    roles = package.resources("AWS::IAM::Role")
    assert len(roles) == len(HANDLERS)
    for role in roles:
        [policy] = role["Policies"]
        assert policy["PolicyDocument"] == package.stack.json(f"policy-{STAGE}.json")
        assert not role.get("ManagedPolicyArns")


def test_the_package_holds_the_product_alone(package):
    with zipfile.ZipFile(package.folder / "deployment.zip") as packed:
        shipped = {name for name in packed.namelist() if not name.endswith(("/", ".pyc"))}
    runtime = {name for name in shipped if name.startswith("chalice/")}
    ours = {"app.py"} | {
        str(path.relative_to(package.stack.project))
        for path in (package.stack.project / "chalicelib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped - runtime == ours
    assert {"chalicelib/web/reference.html", "chalicelib/web/reference.css"} <= ours
    assert runtime


def test_the_layer_is_small_enough_to_start_quickly(package):
    assert (package.folder / "layer-deployment.zip").stat().st_size < 40_000_000
    unpacked = sum(path.stat().st_size for path in package.folder.rglob("*") if path.is_file())
    assert unpacked < 250_000_000  # Lambda's limit, everything together


def test_the_layer_holds_what_requirements_txt_pins(package):
    pins = dict(re.findall(r"^([A-Za-z0-9_-]+)==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert pins
    for name, version in pins.items():
        pattern = f"{name.replace('-', '_')}-{version}.dist-info"
        assert list((package.folder / "layer").rglob(pattern)) or list((package.folder / "layer").rglob(f"{name}*")), (
            pattern
        )


# --- and it runs ---


def test_the_api_answers(package):
    json_headers = {"Content-Type": "application/json"}
    nobody = json.dumps({"imp_key": "0" * 16, "imp_secret": "0" * 80})
    [answer, broken] = package.call(
        "api_handler",
        rest_event("POST", "/users/getToken", nobody, json_headers),
        rest_event("POST", "/users/getToken", "{", json_headers),
    )
    body = json.loads(answer["body"])
    assert answer["statusCode"] == 401
    assert body["code"] == -1
    assert body["response"] is None
    assert 400 <= broken["statusCode"] < 500
    assert Call("dynamodb:GetItem", "table/smart-routing-dev") in package.calls


def test_the_reference_is_served(package):
    [document, page] = package.call("api_handler", rest_event("GET", "/openapi.json"), rest_event("GET", "/docs"))
    assert json.loads(document["body"])["openapi"].startswith("3.1")
    assert page["statusCode"] == 200
    assert page["body"].startswith("<!doctype html>")
    assert "Content-Security-Policy" in page["headers"] | page["multiValueHeaders"]


def test_the_sweep_runs(package):
    package.call("sweep", SCHEDULED)
    assert Call("dynamodb:Query", "table/smart-routing-dev/index/due") in package.calls


@pytest.mark.parametrize(
    ("name", "queue", "bodies"),
    [
        ("run_payments", "payments", [task("payment", "m", "imp_1"), task("schedule", "m", "order-1")]),
        ("deliver_notices", "notices", [task("notice", "m", "n-1")]),
        ("deliver_slow_notices", "slow-notices", [task("slow_notice", "m", "n-1")]),
    ],
)
def test_a_queue_function_takes_tasks_whose_subject_is_gone(package, name, queue, bodies):
    assert package.call(name, sqs_event(queue, *bodies)) == [{"batchItemFailures": []}]


@pytest.mark.parametrize(
    ("name", "queue"),
    [("run_payments", "payments"), ("deliver_notices", "notices"), ("deliver_slow_notices", "slow-notices")],
)
def test_a_queue_function_gives_back_what_it_cannot_read(package, name, queue):
    [answer] = package.call(name, sqs_event(queue, "not json"))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-0"}]}

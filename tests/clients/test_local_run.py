"""`make run` as a person uses it: started, asked, stopped, started again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from infra.sandbox import PROVIDERS
from tests.support.local_service import CARD, ROOT, alive, ask, running, start, stop, until
from tests.support.real import require


def onetime(service, merchant_uid, **fields):
    return service.call(
        "/subscribe/payments/onetime", {"merchant_uid": merchant_uid, "amount": 1000, "name": "Chair", **CARD, **fields}
    )["response"]


# --- what it says ----------------------------------------------------------------------------------------------------


def test_the_file_says_what_others_rely_on(local_service):
    assert list(local_service) == [
        "api", "imp_key", "imp_secret", "user_code", "admin_token", "webhook_secret", "console", "groups", "channels",
            "gateways",
    ]  # fmt: skip
    assert set(local_service["console"]) == {"url", "email", "password"}
    assert set(local_service["channels"]) == set(PROVIDERS)
    assert set(local_service["gateways"]) >= {"tosspayments", "nice_v2"}
    assert re.fullmatch(r"channel-group-test-[0-9a-f-]{36}", local_service["groups"]["default"])
    assert all(re.fullmatch(r"channel-key-[0-9a-f-]{36}", key) for key in local_service["channels"].values())
    assert local_service.file.stat().st_mode & 0o777 == 0o600


def test_the_default_group_is_as_promised(local_service):
    bearer = {"Authorization": f"Bearer {local_service['admin_token']}"}
    group_id = local_service["groups"]["default"]
    _, group = ask(f"{local_service['api']}/admin/channel-groups/{group_id}", headers=bearer)
    assert (group["name"], group["failover"]) == ("default", "unsent")
    weights = {entry["channel_key"]: entry["weight"] for entry in group["channels"]}
    keys = local_service["channels"]
    assert weights == {keys["tosspayments"]: 60, keys["nice_v2"]: 40}
    _, settings = ask(f"{local_service['api']}/admin/settings", headers=bearer)
    assert settings["default"] == group_id


@pytest.mark.real
def test_what_it_prints_to_try_works(local_service):
    require("curl")
    printed = local_service.output.read_text().partition("Try, in another terminal:")[2]
    lines = printed.partition("# what a gateway saw")[0]
    done = subprocess.run([require("bash"), "-euc", lines], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    notice = answers.pop(-2)  # what the simulator tells us of the deposit
    assert notice["status"] == "DONE"
    assert [answer["code"] for answer in answers] == [0, 0, 0, 0, 0], answers
    assert answers[-1]["response"]["status"] == "paid"


def test_what_is_no_route_is_told_in_json(local_service):
    assert ask(f"{local_service['api']}/nowhere", headers={"Authorization": "Bearer x"})[0] == 404


# --- what it does ----------------------------------------------------------------------------------------------------


def test_a_get_may_carry_a_body(local_service):
    """As some HTTP libraries send it. What is asked for stands in the path and the query."""
    payment = onetime(local_service, "asked-with-a-body")
    url = f"{local_service['api']}/payments/{payment['imp_uid']}"
    status, answer = ask(url, {"imp_uid": "imp_000000000000"}, "GET", {"Authorization": local_service.token})
    assert (status, answer["response"]) == (200, payment)


def test_an_unknown_outcome_settles_to_paid_and_is_told(local_service, hook):
    local_service.fault(operation="charge", fault="reply_lost")
    try:
        payment = onetime(local_service, "lost-reply", notice_url=hook.url)
    finally:
        local_service.clear_faults()
    imp_uid = payment["imp_uid"]
    assert payment["status"] == "ready"

    def settled():
        return local_service.call(f"/payments/{imp_uid}")["response"]["status"] != "ready"

    until(settled, 60, "a settled payment")
    assert local_service.call(f"/payments/{imp_uid}")["response"]["status"] == "paid"
    assert [entry["state"] for entry in local_service.transactions(imp_uid)] == ["captured"]
    [(_, body)] = until(lambda: hook.messages, 10, "the webhook")
    assert json.loads(body) == {"imp_uid": imp_uid, "merchant_uid": "lost-reply", "status": "paid"}


# --- how it ends -----------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_everything_while_another_run_goes_on(local_service, tmp_path):
    second = start(tmp_path)
    assert second["api"] != local_service["api"]
    stop(second, signal.SIGINT)
    assert ask(f"{local_service['api']}/nowhere")[0] == 404


def test_it_ends_with_any_of_its_processes_and_says_which(tmp_path):
    service = start(tmp_path)
    children = service.children()
    [worker] = [pid for pid in children if any("infra.local_worker" in command for command in alive([pid]))]
    os.kill(worker, signal.SIGKILL)
    assert service.process.wait(timeout=20) == 1
    assert "error: the worker has ended (SIGKILL)" in service.output.read_text()
    assert alive(children) == []


def test_its_processes_end_even_if_it_is_killed(tmp_path):
    service = start(tmp_path)
    children = service.children()
    service.process.kill()
    service.process.wait()
    until(lambda: not alive(children), 10, "the end of its processes")


# --- how it starts ---------------------------------------------------------------------------------------------------


def run_and_fail(**environment):
    done = subprocess.run(
        [sys.executable, "-m", "infra.local"],
        cwd=ROOT,
        env={**os.environ, "PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


def test_says_that_its_port_is_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run_and_fail(PORT=str(port))
    assert said.startswith(f"error: port {port} cannot be used (Address already in use).")
    assert "PORT=8001 make run" in said


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PORT": "http"}, "PORT must be a number"),
        ({"PORT": "70000"}, "PORT must be a number"),
        ({"GATEWAY_URLS": "tosspayments=x"}, "GATEWAY_URLS is not JSON"),
        ({"GATEWAY_URLS": "[]"}, "GATEWAY_URLS must be a JSON object"),
        ({"RECOVERY_SCALE": "7"}, "RECOVERY_SCALE must be above 0 and at most 1"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}, "Could not connect to the endpoint URL"),
    ],
)
def test_says_what_is_wrong_with_its_environment(environment, words):
    said = run_and_fail(**environment)
    assert said.startswith("error: ")
    assert words in said


@contextmanager
def table_server():
    """A DynamoDB that outlives the service."""
    command = [sys.executable, "-m", "infra.local_aws", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["aws"]
        finally:
            process.terminate()


def test_local_data_and_a_table_elsewhere_survive_a_restart(tmp_path):
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    with table_server() as url:
        environment = {"LOCAL_DATA": str(tmp_path / "data"), "AWS_ENDPOINT_URL_DYNAMODB": url}
        with running(folders[0], **environment) as first:
            assert "is in use by another run" in run_and_fail(**environment)
            first.call("/subscribe/customers/gildong", CARD)
            paid = onetime(first, "before-the-restart")
            books = first.transactions(paid["imp_uid"])
        with running(folders[1], **environment) as second:
            names = ("imp_key", "imp_secret", "user_code", "admin_token", "groups", "channels")
            assert {name: second[name] for name in names} == {name: first[name] for name in names}
            assert second.transactions(paid["imp_uid"]) == books
            assert second.call(f"/payments/{paid['imp_uid']}")["response"]["status"] == "paid"
            # The gateway's billing key was sealed by the first run.
            again = {"customer_uid": "gildong", "merchant_uid": "after", "amount": 8900, "name": "Monthly"}
            assert second.call("/subscribe/payments/again", again)["response"]["status"] == "paid"
    assert (tmp_path / "data" / "merchant.json").stat().st_mode & 0o777 == 0o600


def test_another_server_can_stand_in_for_a_simulator(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        with running(tmp_path, GATEWAY_URLS=json.dumps({"nice_v2": url})) as service:
            assert service["gateways"]["nice_v2"] == url
            pinned = {"channel_key": service["channels"]["tosspayments"]}
            assert onetime(service, "at-the-simulator", **pinned)["pg_provider"] == "tosspayments"

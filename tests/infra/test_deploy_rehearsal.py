"""`make deploy`, rehearsed: the stack, `chalice deploy`, and the step after it, against moto's server."""

import json
import shutil
import sys

import pytest

from infra import deploy
from tests.infra.project import REGION, ROOT
from tests.infra.stack import STAGE, provisioned

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

FUNCTIONS = {
    "api_handler": "smart-routing-dev",
    "sweep": "smart-routing-dev-sweep",
    "run_payments": "smart-routing-dev-run_payments",
    "deliver_notices": "smart-routing-dev-deliver_notices",
    "deliver_slow_notices": "smart-routing-dev-deliver_slow_notices",
}


CLI = (sys.executable, str(ROOT / "tests" / "infra" / "chalice_cli.py"))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory, package):
    with provisioned(tmp_path_factory.mktemp("deployed") / "project") as stack:
        # Chalice uses a package again as long as nothing in it has changed.
        shutil.copytree(package.stack.project / ".chalice" / "deployments", stack.project / ".chalice" / "deployments")
        stack.chalice("deploy", "--stage", STAGE, cli=CLI)
        stack.provision("--after-deploy")
        yield stack


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_deployed_as_configured(deployed, function):
    made = deployed.client("lambda").get_function_configuration(FunctionName=FUNCTIONS[function])
    config = deployed.json("config.json")
    assert made["Timeout"] == config["lambda_functions"][function]["lambda_timeout"]
    assert made["MemorySize"] == 1024
    assert made["Environment"]["Variables"] == config["stages"][STAGE]["environment_variables"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_what_its_policy_says(deployed, function):
    client = deployed.client("iam")
    role = f"smart-routing-dev-{function}"
    [name] = client.list_role_policies(RoleName=role)["PolicyNames"]
    document = client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    assert document == deployed.json(f"policy-{STAGE}.json")
    assert client.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []


def queue_mappings(stack):
    made = stack.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    return {m["FunctionArn"].rsplit(":", 1)[1]: m for m in made}


def test_the_queues_feed_their_functions_and_take_back_single_messages(deployed):
    mappings = queue_mappings(deployed)
    queues = {"run_payments": "payments", "deliver_notices": "notices", "deliver_slow_notices": "slow-notices"}
    assert set(mappings) == {FUNCTIONS[function] for function in queues}
    for function, queue in queues.items():
        mapping = mappings[FUNCTIONS[function]]
        assert mapping["EventSourceArn"] == f"arn:aws:sqs:{REGION}:123456789012:smart-routing-dev-{queue}"
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # Webhooks leave the account's concurrency to payments; the slow lane, to the fast one too.
    widths = {function: mappings[FUNCTIONS[function]].get("ScalingConfig") for function in queues}
    assert widths == {
        "run_payments": None,
        "deliver_notices": {"MaximumConcurrency": 50},
        "deliver_slow_notices": {"MaximumConcurrency": 20},
    }


def test_the_minute_rule_starts_the_sweep(deployed):
    client = deployed.client("events")
    [rule] = client.list_rules()["Rules"]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    [target] = client.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"].endswith(f":{FUNCTIONS['sweep']}")


def test_the_api_is_named_and_staged_as_its_alarm_expects(deployed):
    client = deployed.client("apigateway")
    [api] = client.get_rest_apis()["items"]
    assert api["name"] == "smart-routing"
    [stage] = client.get_stages(restApiId=api["id"])["item"]
    assert stage["stageName"] == STAGE
    assert deploy.api_url(deployed.project, STAGE).rstrip("/").endswith(f"/{STAGE}")


def test_the_logs_go_where_the_stack_expects_them(deployed):
    groups = {g["logGroupName"] for g in deployed.client("logs").describe_log_groups()["logGroups"]}
    assert groups >= {f"/aws/lambda/{name}" for name in FUNCTIONS.values()}
    assert "/aws/lambda/smart-routing-dev-api_handler" not in groups


def test_deploying_again_keeps_one_of_everything(deployed, capfd):
    record = deployed.project / ".chalice" / "deployed" / f"{STAGE}.json"
    before = json.loads(record.read_text())
    with deployed.in_reach():
        assert deploy.main(["--stage", STAGE], project=deployed.project, chalice=CLI) == 0
    assert sorted(r["name"] for r in json.loads(record.read_text())["resources"]) == sorted(
        r["name"] for r in before["resources"]
    )
    assert len(deployed.client("lambda").list_functions()["Functions"]) == len(FUNCTIONS)
    assert {m["FunctionResponseTypes"][0] for m in queue_mappings(deployed).values()} == {"ReportBatchItemFailures"}
    assert len(deployed.client("apigateway").get_rest_apis()["items"]) == 1
    said = capfd.readouterr().out
    assert f"The service answers at {deploy.api_url(deployed.project, STAGE)}" in said
    assert "infra.merchants create --stage dev" in said


def test_a_deployment_that_fails_says_so_and_goes_no_further(deployed, capfd):
    with deployed.in_reach():
        assert deploy.main(["--stage", STAGE], project=deployed.project, chalice=["false"]) == 1
    said = capfd.readouterr()
    assert "`chalice deploy` failed" in said.err
    assert "reports failures message by message" not in said.out

import json
import re
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws

from infra import provision
from tests.infra.project import REGION, ROOT

# moto's CloudFormation knows no alarms, dashboards and metric filters; it says so in a warning and goes on.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS..")


def files(project):
    return {path.name: path.read_text() for path in (project / ".chalice").iterdir() if path.is_file()}


@mock_aws
def test_makes_the_stack_and_tells_chalice(project):
    assert provision.main(["--stage", "dev"], project=project) == 0

    made = boto3.client("dynamodb").describe_table(TableName="smart-routing-dev")["Table"]
    queues = boto3.client("sqs").list_queues()["QueueUrls"]
    variables = json.loads(files(project)["config.json"])["stages"]["dev"]["environment_variables"]
    assert variables["TABLE_NAME"] == made["TableName"]
    assert {variables[name] for name in provision.QUEUE_FUNCTIONS.values()} < set(queues)
    assert len(queues) == 6
    [key] = boto3.client("kms").list_keys()["Keys"]
    assert variables["KMS_KEY_ID"] == key["KeyArn"]
    policy = files(project)["policy-dev.json"]
    assert made["TableArn"] in policy
    assert key["KeyArn"] in policy
    assert f'"dynamodb.{REGION}.amazonaws.com"' in policy
    assert "000000000000" not in policy
    assert "ap-northeast-2" not in policy


@mock_aws
def test_keeps_everything_else_in_the_files(project):
    before = files(project)
    config = json.loads(before["config.json"])
    config["stages"]["dev"]["environment_variables"]["LOG_LEVEL"] = "DEBUG"
    config["stages"]["dev"]["tags"] = {"원가": "결제"}
    (project / ".chalice" / "config.json").write_text(json.dumps(config))

    provision.main(["--stage", "dev"], project=project)

    after = json.loads(files(project)["config.json"])
    for name in ("TABLE_NAME", "KMS_KEY_ID", *provision.QUEUE_FUNCTIONS.values()):
        del config["stages"]["dev"]["environment_variables"][name]
        del after["stages"]["dev"]["environment_variables"][name]
    assert after == config
    assert files(project)["policy-prod.json"] == before["policy-prod.json"]


@mock_aws
def test_again_changes_nothing(project, capsys):
    provision.main(["--stage", "dev"], project=project)
    once = files(project)
    capsys.readouterr()
    assert provision.main(["--stage", "dev"], project=project) == 0
    assert files(project) == once
    assert "up to date" in capsys.readouterr().out


@mock_aws
def test_an_address_for_alarms_can_come_later_and_then_stays(project):
    for email in ([], ["--alarm-email", "ops@example.com"], []):
        assert provision.main(["--stage", "dev", *email], project=project) == 0
    [stack] = boto3.client("cloudformation").describe_stacks(StackName="smart-routing-dev")["Stacks"]
    assert {"ParameterKey": "AlarmEmail", "ParameterValue": "ops@example.com"} in stack["Parameters"]


@mock_aws
def test_moves_to_another_region(project):
    for region in ("eu-west-1", "us-west-2"):
        assert provision.main(["--stage", "prod", "--region", region], project=project) == 0
    assert "us-west-2" in files(project)["policy-prod.json"]
    assert "eu-west-1" not in files(project)["policy-prod.json"]


@mock_aws
def test_a_stage_that_chalice_does_not_know_is_refused(project, capsys):
    assert provision.main(["--stage", "qa"], project=project) == 1
    assert "has no stage 'qa'; it has: dev, prod" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        provision.main(["--stage", "../x"], project=project)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("UPDATE_IN_PROGRESS", "somebody else"),
        ("ROLLBACK_COMPLETE", "delete the stack"),
        ("UPDATE_ROLLBACK_FAILED", "needs a person"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_explained(status, words):
    client = SimpleNamespace(describe_stacks=lambda **_: {"Stacks": [{"StackStatus": status}]})
    with pytest.raises(provision.Stop, match=words):
        provision.provision(SimpleNamespace(client=lambda _: client), "dev", None)


def test_says_that_credentials_are_missing(monkeypatch, project, capsys):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert provision.main(["--stage", "dev"], project=project) == 1
    assert "no AWS credentials: run `aws configure`" in capsys.readouterr().err


def test_says_that_the_region_is_missing(monkeypatch, project, capsys):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert provision.main(["--stage", "dev"], project=project) == 1
    assert "no AWS region: pass --region" in capsys.readouterr().err


# --- after chalice deploy ---


def deploy_the_queue_functions(stage):
    """What `chalice deploy` leaves behind, as far as the step after it looks."""
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client = boto3.client("lambda")
    made = []
    for function, url_name in provision.QUEUE_FUNCTIONS.items():
        queue = url_name.removesuffix("_QUEUE_URL").lower().replace("_", "-")
        name = f"smart-routing-{stage}-{function}"
        client.create_function(
            FunctionName=name, Runtime="python3.11", Role=role, Handler="app.x", Code={"ZipFile": b"x"}
        )
        arn = f"arn:aws:sqs:{REGION}:123456789012:smart-routing-{stage}-{queue}"
        made.append(client.create_event_source_mapping(FunctionName=name, EventSourceArn=arn, BatchSize=10)["UUID"])
    return made


@mock_aws
def test_after_deploy_the_queue_functions_report_single_failures(project, capsys):
    provision.main(["--stage", "dev"], project=project)
    mappings = deploy_the_queue_functions("dev")
    for _ in range(2):
        provision.after_deploy(boto3.Session(), project / ".chalice", "dev", poll=0)
        for uuid in mappings:
            mapping = boto3.client("lambda").get_event_source_mapping(UUID=uuid)
            assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert "smart-routing-dev-run_payments reports failures" in capsys.readouterr().out


@mock_aws
def test_after_deploy_before_deploy_is_explained(project, capsys):
    provision.main(["--stage", "dev"], project=project)
    assert provision.main(["--stage", "dev", "--after-deploy"], project=project) == 1
    assert "run `chalice deploy` first" in capsys.readouterr().err


class BusyMapping:
    """A mapping that is still being changed when it is first looked at, and refuses the first change."""

    class exceptions:
        ResourceInUseException = type("ResourceInUseException", (Exception,), {})
        ResourceConflictException = type("ResourceConflictException", (Exception,), {})

    def __init__(self):
        self.states = ["Creating", "Enabled", "Enabled", "Updating"]
        self.refusals = 1
        self.types = None

    def get_event_source_mapping(self, UUID):
        state = self.states.pop(0) if self.states else "Enabled"
        return {"State": state, "FunctionResponseTypes": self.types or []}

    def update_event_source_mapping(self, UUID, FunctionResponseTypes):
        if self.refusals:
            self.refusals -= 1
            raise self.exceptions.ResourceInUseException
        self.types = FunctionResponseTypes


def test_a_busy_mapping_is_asked_again_and_read_back():
    mapping = BusyMapping()
    provision._report_failures(mapping, "uuid", patience=5, poll=0)
    assert mapping.types == ["ReportBatchItemFailures"]
    assert mapping.states == []


def test_a_mapping_that_never_takes_it_is_an_error():
    mapping = BusyMapping()
    mapping.refusals = 10**9
    with pytest.raises(provision.Stop, match="does not take"):
        provision._report_failures(mapping, "uuid", patience=0.05, poll=0)


def test_the_committed_files_name_nobodys_account():
    for path in (ROOT / ".chalice").glob("*.json"):
        accounts = set(re.findall(r"\b\d{12}\b", path.read_text()))
        assert accounts <= {"000000000000"}

"""The stack is what the code, Chalice's config and the tests take it for."""

import json
import re
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from infra import dynamodb_local, table
from tests.infra.project import ROOT
from tests.support.real import need_dynamodb_local

RESOURCES = table.template()["Resources"]
CONFIG = json.loads((ROOT / ".chalice" / "config.json").read_text())
SUFFIX = {name: "" if name == "api_handler" else f"-{name}" for name in CONFIG["lambda_functions"]}


def test_cfn_lint_has_nothing_to_say():
    linter = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([linter, table.TEMPLATE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def of_type(name):
    return {key: resource for key, resource in RESOURCES.items() if resource["Type"] == name}


# --- the table ---


def check_table(client):
    table.create_table(client, "some-table")
    made = client.describe_table(TableName="some-table")["Table"]
    wanted = table.definition()
    assert made["KeySchema"] == wanted["KeySchema"]
    assert sorted(made["AttributeDefinitions"], key=str) == sorted(wanted["AttributeDefinitions"], key=str)
    assert {
        index["IndexName"]: (index["KeySchema"], index["Projection"]) for index in made["GlobalSecondaryIndexes"]
    } == {index["IndexName"]: (index["KeySchema"], index["Projection"]) for index in wanted["GlobalSecondaryIndexes"]}
    assert made["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    ttl = client.describe_time_to_live(TableName="some-table")["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    # An item in every index: the definition is not only accepted, it works.
    item = {"pk": {"S": "a"}, "sk": {"S": "b"}, "due_shard": {"S": "03"}, "due_at": {"N": "17.5"}}
    item |= {"list_pk": {"S": "l"}, "list_sk": {"S": "m"}, "kind": {"S": "k"}, "parts": {"S": "[]"}, "doc": {"S": "{}"}}
    item |= {"owner_pk": {"S": "o"}, "owner_sk": {"S": "p"}, "alarm_pk": {"S": "q"}, "alarm_sk": {"S": "r"}}
    item |= {"ref_pk": {"S": "s"}, "ref_sk": {"S": "t"}}
    client.put_item(TableName="some-table", Item=item)
    query = {"TableName": "some-table", "ExpressionAttributeValues": {":p": {"S": "03"}}}
    [due] = client.query(IndexName="due", KeyConditionExpression="due_shard = :p", **query)["Items"]
    assert set(due) == {"pk", "sk", "due_shard", "due_at", "kind", "parts"}
    for index, value in {"list": "l", "owner": "o", "alarm": "q", "ref": "s"}.items():
        query["ExpressionAttributeValues"] = {":p": {"S": value}}
        [listed] = client.query(IndexName=index, KeyConditionExpression=f"{index}_pk = :p", **query)["Items"]
        assert set(listed) == {"pk", "sk", f"{index}_pk", f"{index}_sk"}


@mock_aws
def test_the_table_of_the_template_is_the_table_that_tests_get():
    check_table(boto3.client("dynamodb"))


@pytest.mark.real
@pytest.mark.parametrize("kept", [False, True])
def test_dynamodb_local_takes_the_table(tmp_path, kept):
    need_dynamodb_local()
    with dynamodb_local.running(data=tmp_path / "data" if kept else None) as url:
        check_table(boto3.client("dynamodb", endpoint_url=url))
    assert (tmp_path / "data" / "shared-local-instance.db").exists() == kept


def test_what_holds_money_survives_the_stack():
    for name in ("Table", "Key"):
        assert (RESOURCES[name]["DeletionPolicy"], RESOURCES[name]["UpdateReplacePolicy"]) == ("Retain", "Retain")
    properties = RESOURCES["Table"]["Properties"]
    assert properties["DeletionProtectionEnabled"] is True
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["SSESpecification"]["KMSMasterKeyId"] == {"Fn::GetAtt": ["Key", "Arn"]}
    assert RESOURCES["Key"]["Properties"]["EnableKeyRotation"] is True


# --- the queues ---


@pytest.mark.parametrize(
    ("queue", "function"),
    [
        ("PaymentsQueue", "run_payments"),
        ("NoticesQueue", "deliver_notices"),
        ("SlowNoticesQueue", "deliver_slow_notices"),
    ],
)
def test_a_message_stays_invisible_six_times_as_long_as_its_function_may_run(queue, function):
    properties = RESOURCES[queue]["Properties"]
    assert properties["VisibilityTimeout"] >= 6 * CONFIG["lambda_functions"][function]["lambda_timeout"]
    assert properties["RedrivePolicy"]["maxReceiveCount"] >= 5


def test_every_queue_is_encrypted_and_dead_letters_are_kept_as_long_as_aws_keeps_any():
    queues = of_type("AWS::SQS::Queue")
    assert all(queue["Properties"]["SqsManagedSseEnabled"] for queue in queues.values())
    dead = [queue for name, queue in queues.items() if name.endswith("DeadLetters")]
    assert [queue["Properties"]["MessageRetentionPeriod"] for queue in dead] == [14 * 24 * 3600] * 3


# --- what watches ---


@pytest.mark.parametrize("function", CONFIG["lambda_functions"])
def test_every_function_has_a_log_group_with_an_end_and_an_alarm_on_its_errors(function):
    name = f"smart-routing-${{Stage}}{SUFFIX[function]}"
    groups = [group["Properties"] for group in of_type("AWS::Logs::LogGroup").values()]
    assert {"LogGroupName": {"Fn::Sub": f"/aws/lambda/{name}"}, "RetentionInDays": 90} in groups
    watched = [
        alarm["Properties"]["Dimensions"]
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("MetricName") == "Errors"
    ]
    assert [{"Name": "FunctionName", "Value": {"Fn::Sub": name}}] in watched


def test_every_alarm_tells_somebody_and_stands_in_the_operations_manual():
    manual = (ROOT / "docs" / "operations.md").read_text()
    alarms = of_type("AWS::CloudWatch::Alarm")
    assert len(alarms) >= 12
    for alarm in alarms.values():
        assert alarm["Properties"]["AlarmActions"] == [{"Ref": "AlarmTopic"}]
        short = alarm["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("smart-routing-${Stage}-")
        assert f"`{short}`" in manual


def test_the_dashboard_is_json_and_shows_every_alarm():
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(re.sub(r"\$\{[A-Za-z:.]+\}", "x", body))["widgets"]
    assert len(widgets) == 7
    assert set(re.findall(r"alarm:\$\{(\w+)\}", body)) == set(of_type("AWS::CloudWatch::Alarm"))

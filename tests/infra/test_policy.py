"""The functions may do what they do, and nothing else."""

import json

import boto3
import pytest
from moto import mock_aws

from infra import table
from tests.infra.project import ROOT
from tests.support.aws_calls import Call, denied, recorded

STAGES = ["dev", "prod"]
KEY = "arn:aws:kms:ap-northeast-2:000000000000:key/00000000-0000-0000-0000-000000000000"


def policy(stage):
    return json.loads((ROOT / ".chalice" / f"policy-{stage}.json").read_text())


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_granted_with_a_star(stage):
    for statement in policy(stage)["Statement"]:
        assert statement["Effect"] == "Allow"
        assert not [action for action in statement["Action"] if "*" in action]
        for arn in statement["Resource"]:
            # The one name that nobody can know beforehand is that of a log stream.
            assert "*" not in (arn.removesuffix(":*") if statement["Sid"] == "Logs" else arn)
            assert all(arn.split(":", 5)), f"{arn} leaves account or region open"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reaches_only_its_own(stage):
    for statement in policy(stage)["Statement"]:
        for arn in statement["Resource"]:
            assert f"smart-routing-{stage}" in arn or ":kms:" in arn


def test_both_stages_are_granted_the_same():
    assert json.dumps(policy("dev")).replace("smart-routing-dev", "smart-routing-prod") == json.dumps(policy("prod"))


def needs(stage):
    here = f"table/smart-routing-{stage}"
    for operation in ("GetItem", "BatchGetItem", "PutItem", "DeleteItem", "UpdateItem", "Query"):
        yield Call(f"dynamodb:{operation}", here)
    yield Call("dynamodb:Query", f"{here}/index/due")
    yield Call("dynamodb:Query", f"{here}/index/list")
    yield Call("dynamodb:Query", f"{here}/index/owner")
    yield Call("dynamodb:Query", f"{here}/index/alarm")
    yield Call("dynamodb:Query", f"{here}/index/ref")
    for queue in ("payments", "notices", "slow-notices"):
        for operation in ("SendMessage", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
            yield Call(f"sqs:{operation}", f"smart-routing-{stage}-{queue}")
    yield Call("kms:GenerateDataKey", KEY)
    yield Call("kms:Decrypt", KEY)
    for function in ("", "-sweep", "-run_payments", "-deliver_notices", "-deliver_slow_notices"):
        for operation in ("CreateLogStream", "PutLogEvents"):
            yield Call(
                f"logs:{operation}", f"log-group:/aws/lambda/smart-routing-{stage}{function}:log-stream:2026/01/01/[1]a"
            )


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_needed_is_granted(stage):
    assert denied(policy(stage), needs(stage)) == set()


@pytest.mark.parametrize(
    "call",
    [
        Call("dynamodb:Scan", "table/smart-routing-dev"),
        Call("dynamodb:DeleteTable", "table/smart-routing-dev"),
        Call("dynamodb:PutItem", "table/smart-routing-prod"),
        Call("dynamodb:PutItem", "table/smart-routing-dev/index/due"),
        Call("sqs:PurgeQueue", "smart-routing-dev-payments"),
        Call("sqs:ReceiveMessage", "smart-routing-dev-payments-dead"),
        Call("kms:ScheduleKeyDeletion", KEY),
        Call("kms:Encrypt", KEY),  # DynamoDB may, on our behalf; we may not
        Call("kms:Decrypt", KEY.replace("key/0", "key/1")),
        Call("logs:CreateLogStream", "log-group:/aws/lambda/another:log-stream:x"),
        Call("s3:GetObject", "*"),
    ],
    ids=str,
)
def test_nothing_else_is(call):
    assert denied(policy("dev"), [call]) == {call}


@pytest.mark.parametrize("stage", STAGES)
def test_dynamodb_may_use_the_table_key_for_us_and_only_dynamodb(stage):
    [grant] = [s for s in policy(stage)["Statement"] if "Condition" in s]
    assert grant["Condition"] == {"StringEquals": {"kms:ViaService": "dynamodb.ap-northeast-2.amazonaws.com"}}
    assert grant["Resource"] == [KEY]
    # What AWS's own CDK grants to a reader and writer of a table under a customer's key.
    assert {"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"} < set(grant["Action"])


@mock_aws
def test_the_recorder_translates_calls_to_permissions():
    table.create_table(boto3.Session().client("dynamodb"), "some-table")
    queue = boto3.Session().client("sqs").create_queue(QueueName="some-queue")["QueueUrl"]
    here, key = {"TableName": "some-table"}, {"pk": {"S": "a"}, "sk": {"S": "b"}}
    due = {"KeyConditionExpression": "due_shard = :s", "ExpressionAttributeValues": {":s": {"S": "00"}}}
    with recorded() as calls:
        session = boto3.Session()
        dynamodb = session.client("dynamodb")
        dynamodb.transact_write_items(
            TransactItems=[{"Put": here | {"Item": key}}, {"Delete": here | {"Key": key | {"sk": {"S": "c"}}}}]
        )
        dynamodb.batch_get_item(RequestItems={"some-table": {"Keys": [key]}})
        dynamodb.query(**here, IndexName="due", **due)
        session.client("sqs").send_message_batch(QueueUrl=queue, Entries=[{"Id": "0", "MessageBody": "x"}])
    boto3.Session().client("sqs").list_queues()
    assert calls == [
        Call("dynamodb:PutItem", "table/some-table"),
        Call("dynamodb:DeleteItem", "table/some-table"),
        Call("dynamodb:BatchGetItem", "table/some-table"),
        Call("dynamodb:Query", "table/some-table/index/due"),
        Call("sqs:SendMessage", "some-queue"),
    ]

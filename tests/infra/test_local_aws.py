"""The served moto, from outside: by boto3 over HTTP, as the local run uses it."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra import local_aws, table
from infra.local_names import KEY_ALIAS, REGION
from tests.infra.project import ROOT

TABLE = "payments"


@contextmanager
def running(*arguments):
    command = [sys.executable, "-m", "infra.local_aws", "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(process.stdout.readline())["aws"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0
        process.stdout.close()


def client(service, url):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(max_pool_connections=32),
    )


@pytest.fixture(scope="module")
def aws():
    with running() as url:
        yield url


@pytest.fixture(scope="module")
def dynamodb(aws):
    dynamodb = client("dynamodb", aws)
    table.create_table(dynamodb, TABLE)
    yield dynamodb
    dynamodb.close()


def key(pk):
    return {"pk": {"S": pk}, "sk": {"S": "#"}}


def put(pk, **attributes):
    return {"TableName": TABLE, "Item": {**key(pk), **attributes}}


def if_new(operation):
    return {**operation, "ConditionExpression": "attribute_not_exists(pk)"}


def stored(dynamodb, pk):
    return dynamodb.get_item(TableName=TABLE, Key=key(pk), ConsistentRead=True).get("Item")


def test_a_failed_transaction_leaves_everything_as_it_was(dynamodb):
    for name in ("updated", "deleted", "replaced", "taken"):
        dynamodb.put_item(**put(f"rollback-{name}", n={"N": "1"}, inside={"M": {"n": {"N": "1"}}}))
    before = {name: stored(dynamodb, f"rollback-{name}") for name in ("updated", "deleted", "replaced", "new", "taken")}
    update = {
        "TableName": TABLE,
        "Key": key("rollback-updated"),
        "UpdateExpression": "SET n = :two, inside.n = :two",
        "ExpressionAttributeValues": {":two": {"N": "2"}},
    }
    with pytest.raises(ClientError) as failed:
        dynamodb.transact_write_items(
            TransactItems=[
                {"Update": update},
                {"Delete": {"TableName": TABLE, "Key": key("rollback-deleted")}},
                {"Put": put("rollback-replaced", n={"N": "2"})},
                {"Put": put("rollback-new")},
                {"Put": if_new(put("rollback-taken"))},
            ]
        )
    assert failed.value.response["Error"]["Code"] == "TransactionCanceledException"
    codes = [reason["Code"] for reason in failed.value.response["CancellationReasons"]]
    assert codes == ["None", "None", "None", "None", "ConditionalCheckFailed"]
    assert {name: stored(dynamodb, f"rollback-{name}") for name in before} == before
    assert before["new"] is None


def test_a_transaction_that_holds_is_carried_out(dynamodb):
    dynamodb.put_item(**put("done-deleted"))
    dynamodb.transact_write_items(
        TransactItems=[
            {"Put": if_new(put("done-new", n={"N": "1"}))},
            {"Delete": {"TableName": TABLE, "Key": key("done-deleted")}},
        ]
    )
    assert stored(dynamodb, "done-new")["n"] == {"N": "1"}
    assert stored(dynamodb, "done-deleted") is None


def test_of_many_writers_at_once_one_finds_the_condition_true(dynamodb):
    def write(operation):
        try:
            operation()
        except ClientError:
            return 0
        return 1

    def one(n):
        pk = f"race-{n % 10}"
        if n % 3:
            return pk, write(lambda: dynamodb.put_item(**if_new(put(pk))))
        items = [{"Put": if_new(put(pk))}, {"Put": put(f"race-other-{n}")}]
        return pk, write(lambda: dynamodb.transact_write_items(TransactItems=items))

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(one, range(200)))
    assert {pk: sum(won for name, won in results if name == pk) for pk, _ in results} == {
        f"race-{n}": 1 for n in range(10)
    }


def test_an_index_lists_its_items_in_order_and_page_by_page(dynamodb):
    for n in (3, 1, 2):
        dynamodb.put_item(**put(f"listed-{n}", list_pk={"S": "L"}, list_sk={"S": str(n)}))
    dynamodb.put_item(**put("listed-elsewhere", list_pk={"S": "M"}, list_sk={"S": "1"}))
    dynamodb.put_item(**put("listed-half", list_pk={"S": "L"}))
    found, start = [], {}
    while True:
        page = dynamodb.query(
            TableName=TABLE,
            IndexName="list",
            KeyConditionExpression="list_pk = :l AND list_sk >= :low",
            ExpressionAttributeValues={":l": {"S": "L"}, ":low": {"S": "0"}},
            ScanIndexForward=False,
            Limit=2,
            **start,
        )
        found += [item["pk"]["S"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert found == ["listed-3", "listed-2", "listed-1"]


def test_no_message_is_lost_while_others_are_deleted(aws):
    sqs = client("sqs", aws)
    url = sqs.create_queue(QueueName="busy", Attributes={"VisibilityTimeout": "600"})["QueueUrl"]

    def send(n):
        sqs.send_message(QueueUrl=url, MessageBody=str(n))

    def take():
        taken = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in taken:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in taken]

    seen = []
    with ThreadPoolExecutor(8) as pool:
        sending = [pool.submit(send, n) for n in range(200)]
        while not all(future.done() for future in sending):
            seen += take()
        while taken := take():
            seen += taken
    sqs.close()
    assert sorted(map(int, seen)) == list(range(200))


def test_the_key_outlives_the_process_where_it_is_told_to(tmp_path):
    context = {"merchant": "imp1"}
    with running("--data", str(tmp_path / "new")) as url:
        sealed = client("kms", url).generate_data_key(KeyId=KEY_ALIAS, KeySpec="AES_256", EncryptionContext=context)
        key_id = client("kms", url).describe_key(KeyId=KEY_ALIAS)["KeyMetadata"]["KeyId"]
    with running("--data", str(tmp_path / "new")) as url:
        opened = client("kms", url).decrypt(
            KeyId=key_id, CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context
        )
    assert opened["Plaintext"] == sealed["Plaintext"]
    assert (tmp_path / "new" / local_aws.KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_any_other_moto_is_refused(monkeypatch):
    monkeypatch.setattr(local_aws.moto, "__version__", "5.2.6")
    with pytest.raises(RuntimeError, match=r"moto 5\.2\.5, and this is 5\.2\.6"):
        local_aws.patch.__wrapped__()

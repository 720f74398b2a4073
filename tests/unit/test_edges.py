"""Sealing, queues, configuration and logs: what stands between the rules and the cloud."""

import json
import logging
import sys

import boto3
import pytest
from moto import mock_aws

from chalicelib import config
from chalicelib.observability import JsonFormatter
from chalicelib.ports import QueueUnavailable, StoreUnavailable, Task, TaskKind
from chalicelib.storage.queue import SqsQueue, from_message
from chalicelib.storage.sealing import KmsSealer
from chalicelib.storage.table import DynamoStore
from tests.support.clock import SettableClock

ENV = {
    "TABLE_NAME": "t", "KMS_KEY_ID": "k", "PAYMENTS_QUEUE_URL": "https://q/1/payments", "NOTICES_QUEUE_URL": "n",
    "SLOW_NOTICES_QUEUE_URL": "s",
}  # fmt: skip


@pytest.fixture
def sealer():
    with mock_aws():
        kms = boto3.client("kms")
        key = kms.create_key()["KeyMetadata"]["Arn"]
        yield KmsSealer(lambda: kms, key), lambda: KmsSealer(lambda: kms, key)


def test_sealed_opens_in_another_process(sealer):
    here, there = sealer
    data_key = here.new_data_key("imp1")
    sealed = here.seal(data_key, ("credentials", "imp1", "c"), {"secret_key": "s3cret", "한": "글"})
    assert "s3cret" not in sealed
    assert there().open(data_key, ("credentials", "imp1", "c"), sealed) == {"secret_key": "s3cret", "한": "글"}


@pytest.mark.parametrize(
    "context", [("credentials", "imp2", "c"), ("credentials", "imp1", "d"), ("credentials", "imp1c")]
)
def test_sealed_for_one_purpose_opens_for_no_other(sealer, context):
    from cryptography.exceptions import InvalidTag

    here, _ = sealer
    data_key = here.new_data_key("imp1")
    sealed = here.seal(data_key, ("credentials", "imp1", "c"), {"a": "b"})
    with pytest.raises(InvalidTag):
        here.open(data_key, context, sealed)


def test_sealing_twice_gives_different_texts(sealer):
    here, _ = sealer
    data_key = here.new_data_key("imp1")
    assert here.seal(data_key, ("x",), {"a": "b"}) != here.seal(data_key, ("x",), {"a": "b"})


def test_a_key_of_another_merchant_is_refused_by_kms(sealer):
    here, there = sealer
    stolen = here.new_data_key("imp1").replace("imp1:", "imp2:")
    with pytest.raises(StoreUnavailable):
        there().open(stolen, ("x",), "AAAA")


@mock_aws
def test_tasks_travel_through_sqs_with_their_delay():
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="payments")["QueueUrl"]
    clock = SettableClock()
    queue = SqsQueue(lambda: sqs, dict.fromkeys(TaskKind, url))
    tasks = [Task(TaskKind.SCHEDULE, ("imp1", f"주문#{n}"), clock.now()) for n in range(25)]
    queue.put(tasks, clock.now())
    received = []
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        received += [from_message(m["Body"]) for m in batch]
    assert sorted(received, key=str) == sorted(tasks, key=str)


@mock_aws
def test_a_missing_queue_is_unavailable_and_a_missing_table_too():
    clock = SettableClock()
    queue = SqsQueue(
        lambda: boto3.client("sqs"), dict.fromkeys(TaskKind, "https://sqs.ap-northeast-2.amazonaws.com/1/x")
    )
    with pytest.raises(QueueUnavailable):
        queue.put([Task(TaskKind.NOTICE, ("a", "b"), clock.now())], clock.now())
    from chalicelib.domain.payments import Payment
    from chalicelib.ports import Ref

    with pytest.raises(StoreUnavailable):
        DynamoStore(boto3.client("dynamodb"), "nothing").load(Ref(Payment, ("a", "b")))


@pytest.mark.parametrize("missing", ENV)
def test_a_missing_variable_is_named(missing):
    with pytest.raises(config.ConfigError, match=missing):
        config.load({k: v for k, v in ENV.items() if k != missing})


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"RECOVERY_SCALE": "0"}, "RECOVERY_SCALE"),
        ({"RECOVERY_SCALE": "x"}, "RECOVERY_SCALE"),
        ({"RECOVERY_SCALE": "2"}, "RECOVERY_SCALE"),
        ({"GATEWAY_URLS": "[]"}, "GATEWAY_URLS"),
        ({"GATEWAY_URLS": "{"}, "GATEWAY_URLS"),
        ({"LIVE": "1", "RECOVERY_SCALE": "0.01"}, "RECOVERY_SCALE"),
        ({"LIVE": "1", "GATEWAY_URLS": '{"a": "http://x"}'}, "GATEWAY_URLS"),
        ({"LIVE": "1", "ALLOW_LOOPBACK": "1"}, "ALLOW_LOOPBACK"),
    ],
)
def test_a_bad_variable_is_named_and_nothing_for_trying_out_goes_live(change, name):
    with pytest.raises(config.ConfigError, match=name):
        config.load(ENV | change)


def test_good_settings():
    settings = config.load(ENV | {"GATEWAY_URLS": '{"tosspayments": "http://127.0.0.1:1/"}', "RECOVERY_SCALE": "0.01"})
    assert settings.gateway_urls == {"tosspayments": "http://127.0.0.1:1"}
    assert settings.recovery_scale == 0.01


def test_logs_are_json_lines_with_the_alarm_flag():
    try:
        raise ValueError("boom")
    except ValueError:
        record = logging.LogRecord("chalicelib.x", logging.ERROR, "f", 1, "한글 %s", ("a",), sys.exc_info())
    record.needs_a_person = True
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["message"], line["needs_a_person"]) == ("ERROR", "한글 a", True)
    assert "boom" in line["exception"]
    assert "\n" not in JsonFormatter().format(record)

"""The stores the suites run over: the in-memory one, moto's model, and the real thing (DynamoDB Local)."""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from chalicelib.storage.table import DynamoStore
from infra.table import create_table

TABLE = "smart-routing-test"
_KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "ap-northeast-2"}


@functools.cache
def _session(endpoint: str | None) -> boto3.Session:
    """Read AWS's description of DynamoDB once: it takes longer than most tests."""
    return boto3.Session(**_KEYS)


def client(endpoint: str | None = None) -> Any:
    config = Config(retries={"total_max_attempts": 3})
    return _session(endpoint).client("dynamodb", endpoint_url=endpoint, config=config)


@contextmanager
def moto_store() -> Iterator[DynamoStore]:
    from moto import mock_aws

    with mock_aws():
        dynamodb = client()
        create_table(dynamodb, TABLE)
        yield DynamoStore(dynamodb, TABLE)


def local_store(endpoint: str, table: str = TABLE) -> DynamoStore:
    dynamodb = client(endpoint)
    if table not in dynamodb.list_tables()["TableNames"]:
        create_table(dynamodb, table)
    return DynamoStore(dynamodb, table)


def unique_table() -> str:
    return f"{TABLE}-{os.urandom(4).hex()}"

"""What the code asks of AWS, in the words of IAM.

    with recorded() as calls:
        ...                       # clients made in here are listened to
    assert denied(policy, calls) == set()

A call is recorded as the permission it needs and the resource it needs it on: `SendMessageBatch` is `sqs:SendMessage` on
the queue, each write of a transaction is `dynamodb:PutItem`, `DeleteItem`, ... on its table. The module needs nothing but
the standard library and boto3, so that it also runs inside an unpacked deployment package.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import boto3
import botocore.handlers

_TRANSACTION = {
    "Put": "PutItem",
    "Delete": "DeleteItem",
    "Update": "UpdateItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}
_SAME_PERMISSION = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}


@dataclass(frozen=True, order=True)
class Call:
    """resource: the last part of the ARN (`table/t/index/due`, `key/...`, a queue's name), or an ARN as it was passed."""

    action: str
    resource: str


@contextmanager
def recorded() -> Iterator[list[Call]]:
    """Record every call of every client made inside, by `boto3.client` or by a new session."""
    calls: list[Call] = []

    def listen(params: dict[str, Any], model: Any, **_: Any) -> None:
        calls.extend(needed(model.service_model.service_name, model.name, params))

    hook = ("provide-client-params", listen)
    botocore.handlers.BUILTIN_HANDLERS.append(hook)
    # `boto3.client` keeps one session for the process; a session takes its handlers when it is made.
    boto3.DEFAULT_SESSION = None
    try:
        yield calls
    finally:
        boto3.DEFAULT_SESSION = None
        botocore.handlers.BUILTIN_HANDLERS.remove(hook)


def needed(service: str, operation: str, params: dict[str, Any]) -> Iterator[Call]:
    """The permissions that one call needs."""
    if service == "dynamodb":
        yield from _dynamodb(operation, params)
    elif service == "sqs":
        queue = params["QueueUrl"].rsplit("/", 1)[1]
        yield Call(f"sqs:{_SAME_PERMISSION.get(operation, operation)}", queue)
    elif service == "kms":
        yield Call(f"kms:{operation}", params["KeyId"])
    else:
        yield Call(f"{service}:{operation}", "*")


def _dynamodb(operation: str, params: dict[str, Any]) -> Iterator[Call]:
    if operation in ("TransactWriteItems", "TransactGetItems"):
        for entry in params["TransactItems"]:
            [(kind, arguments)] = entry.items()
            yield Call(f"dynamodb:{_TRANSACTION[kind]}", f"table/{arguments['TableName']}")
    elif "RequestItems" in params:
        for table in params["RequestItems"]:
            yield Call(f"dynamodb:{operation}", f"table/{table}")
    else:
        index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
        yield Call(f"dynamodb:{operation}", f"table/{params['TableName']}{index}")


def denied(policy: dict[str, Any], calls: Iterable[Call]) -> set[Call]:
    """The calls that the policy does not allow. Statements with a condition count for nothing: ours are for services."""
    statements = [s for s in policy["Statement"] if s["Effect"] == "Allow" and "Condition" not in s]
    return {call for call in calls if not any(_allows(statement, call) for statement in statements)}


def _allows(statement: dict[str, Any], call: Call) -> bool:
    if call.action not in statement["Action"]:
        return False
    whole = call.resource.startswith("arn:")
    return any(fnmatchcase(call.resource, arn if whole else arn.split(":", 5)[5]) for arn in statement["Resource"])

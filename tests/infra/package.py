"""The deployment package of a provisioned stage, and how to run its handlers as Lambda would."""

import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.infra.project import ROOT
from tests.infra.stack import STAGE, Stack
from tests.support.aws_calls import Call, denied

CHALICE_NAMES = {"app.app": "api_handler"}


@dataclass
class Package:
    """folder: sam.json, the two archives, and both unpacked. calls: everything its functions asked of AWS so far."""

    stack: Stack
    folder: Path
    calls: list[Call] = field(default_factory=list)

    @classmethod
    def make(cls, stack: Stack) -> "Package":
        out = stack.project / "out"
        stack.chalice("package", "--stage", STAGE, str(out))
        for archive, folder in (("deployment.zip", "function"), ("layer-deployment.zip", "layer")):
            with zipfile.ZipFile(out / archive) as packed:
                packed.extractall(out / folder)
        return cls(stack, out)

    def resources(self, kind: str) -> list[dict[str, Any]]:
        template = json.loads((self.folder / "sam.json").read_text())
        return [r["Properties"] for r in template["Resources"].values() if r["Type"] == kind]

    def functions(self) -> dict[str, dict[str, Any]]:
        """The functions' properties in CloudFormation, by the names that Chalice's config has for them."""
        made = self.resources("AWS::Serverless::Function")
        return {CHALICE_NAMES.get(f["Handler"], f["Handler"].removeprefix("app.")): f for f in made}

    def call(self, name: str, *events: Any, **environment: str) -> list[Any]:
        """The answers of one function, in a fresh interpreter; checks that it was allowed what it asked of AWS."""
        result = self._run_cold(self.functions()[name], events, environment)
        assert result["foreign"] == []
        calls = [Call(*call) for call in result["calls"]]
        self.calls += calls
        assert denied(self.stack.json(f"policy-{STAGE}.json"), calls) == set()
        answers: list[Any] = result["answers"]
        return answers

    def _run_cold(self, function: dict[str, Any], events: Any, environment: dict[str, str]) -> dict[str, Any]:
        [layer] = (self.folder / "layer").glob("python/lib/python3*/site-packages")
        aws = {name: value for name, value in self.stack.environment.items() if name.startswith("AWS_")}
        request = {
            "handler": function["Handler"],
            "environment": function["Environment"]["Variables"] | aws | environment,
            "context": {"function_name": "smart-routing-dev", "aws_request_id": "0", "memory_limit_in_mb": 1024},
            "events": events,
            "function": str(self.folder / "function"),
            "layer": str(layer),
            "recorder": str(ROOT / "tests" / "support" / "aws_calls.py"),
        }
        done = subprocess.run(
            [sys.executable, "-I", "-S", ROOT / "tests" / "infra" / "cold.py"],
            input=json.dumps(request),
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        result["log"] = done.stdout
        return result


# --- the events that AWS sends, as AWS writes them ---


def rest_event(method, path, body=None, headers=None, resource=None):
    """resource: the route as API Gateway knows it, where it has parameters; the last part of the path is their value."""
    headers = {"Host": "x.execute-api.eu-west-1.amazonaws.com", "User-Agent": "curl/8"} | (headers or {})
    return {
        "resource": resource or path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {resource.rsplit("{", 1)[1][:-1]: path.rsplit("/", 1)[1]} if resource else None,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "r",
            "resourcePath": resource or path,
            "httpMethod": method,
            "extendedRequestId": "e=",
            "requestTime": "23/Nov/2026:12:00:00 +0000",
            "path": f"/dev{path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "dev",
            "domainPrefix": "x",
            "requestTimeEpoch": 1795435200000,
            "requestId": "11111111-2222-3333-4444-555555555555",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": "curl/8"},
            "domainName": "x.execute-api.eu-west-1.amazonaws.com",
            "apiId": "x",
        },
        "body": body,
        "isBase64Encoded": False,
    }


SCHEDULED = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2026-11-23T12:00:00Z",
    "region": "eu-west-1",
    "resources": ["arn:aws:events:eu-west-1:123456789012:rule/smart-routing-dev-sweep-event"],
    "detail": {},
}


def sqs_event(queue, *bodies):
    return {
        "Records": [
            {
                "messageId": f"message-{n}",
                "receiptHandle": "r",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1795435200000",
                    "SenderId": "AROA:smart-routing-dev-sweep",
                    "ApproximateFirstReceiveTimestamp": "1795435200001",
                },
                "messageAttributes": {},
                "md5OfBody": "x",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:smart-routing-dev-{queue}",
                "awsRegion": "eu-west-1",
            }
            for n, body in enumerate(bodies)
        ]
    }


def task(kind, *parts):
    return json.dumps({"kind": kind, "parts": parts, "due_at": 1795435200.0})

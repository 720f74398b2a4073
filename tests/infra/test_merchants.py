import json
import re

import boto3
import pytest
from moto import mock_aws

from chalicelib import container
from chalicelib.domain.errors import Unauthorized
from chalicelib.usecases import merchants as usecase
from chalicelib.usecases import tokens
from infra import merchants, table

REGION = "eu-west-1"


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A project whose stage `dev` is deployed, and what is in its AWS account."""
    with mock_aws():
        dynamodb = boto3.client("dynamodb", region_name=REGION)
        table.create_table(dynamodb, "smart-routing-dev")
        key = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]
        variables = {
            "STAGE": "dev",
            "TABLE_NAME": "smart-routing-dev",
            "KMS_KEY_ID": key,
            "PAYMENTS_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/123456789012/smart-routing-dev-payments",
            "NOTICES_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/123456789012/smart-routing-dev-notices",
            "SLOW_NOTICES_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/123456789012/smart-routing-dev-slow-notices",
        }
        for name in (*variables, "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "")  # so that what the command sets is undone
        write(tmp_path, {"dev": variables, "prod": {"KMS_KEY_ID": "arn:aws:kms:eu-west-1:000000000000:key/0"}})
        container.install(None)
        yield tmp_path
        container.install(None)


def write(project, stages):
    (project / ".chalice").mkdir()
    config = {"stages": {name: {"environment_variables": variables} for name, variables in stages.items()}}
    (project / ".chalice" / "config.json").write_text(json.dumps(config))


def test_makes_a_merchant_who_can_sign_in(stage, capsys):
    assert merchants.main(["create", "--stage", "dev", "--name", " My shop "], project=stage) == 0
    shown = dict(re.findall(r"^  ([a-z_ ]+?) {2,}(\S+)$", capsys.readouterr().out, re.MULTILINE))
    assert set(shown) == {"user_code", "imp_key", "imp_secret", "admin token", "webhook secret"}
    deps = container.get()
    token = tokens.issue(deps, shown["imp_key"], shown["imp_secret"])
    assert tokens.check(deps, token.token) == shown["user_code"]
    assert usecase.check_admin(deps, shown["admin token"]).name == "My shop"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--stage", "prod", "--name", "x"], "stage prod is not deployed yet: make deploy STAGE=prod"),
        (["--stage", "nowhere", "--name", "x"], "has no stage 'nowhere'; it has: dev, prod"),
        (["--stage", "dev", "--name", " "], "1 to 80 characters"),
        (["--stage", "dev", "--name", "x" * 81], "1 to 80 characters"),
    ],
)
def test_says_what_is_in_the_way(stage, capsys, arguments, reason):
    assert merchants.main(["create", *arguments], project=stage) == 1
    assert reason in capsys.readouterr().err


def test_says_that_the_table_is_gone(stage, capsys):
    boto3.client("dynamodb", region_name=REGION).delete_table(TableName="smart-routing-dev")
    assert merchants.main(["create", "--stage", "dev", "--name", "x"], project=stage) == 1
    assert "AWS did not do as asked" in capsys.readouterr().err


def test_a_secret_is_rotated(stage, capsys):
    merchants.main(["create", "--stage", "dev", "--name", "shop"], project=stage)
    shown = dict(re.findall(r"^  ([a-z_ ]+?) {2,}(\S+)$", capsys.readouterr().out, re.MULTILINE))
    assert merchants.main(["rotate", "--stage", "dev", "--imp-key", shown["imp_key"]], project=stage) == 0
    fresh = re.search(r"imp_secret +(\S+)", capsys.readouterr().out)[1]
    deps = container.get()
    with pytest.raises(Unauthorized):
        tokens.issue(deps, shown["imp_key"], shown["imp_secret"])
    assert tokens.issue(deps, shown["imp_key"], fresh).token
    assert merchants.main(["rotate", "--stage", "dev", "--imp-key", "0" * 16], project=stage) == 1

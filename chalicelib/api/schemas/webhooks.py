"""Admin API: what an operator asks of webhooks."""

from typing import Annotated, Literal

from pydantic import Field

from chalicelib.api.schemas.admin import Strict
from chalicelib.api.schemas.fields import Whole
from chalicelib.domain.channels import Environment


class WebhookQuery(Strict):
    state: Annotated[Literal["dead"], Field(description="dead만 있습니다. / dead; there is no other list")] = "dead"
    limit: Annotated[Whole, Field(ge=1, le=100, description="한 번에 받을 건수 / entries at a time")] = 20
    cursor: Annotated[
        str | None, Field(max_length=200, description="앞 응답의 cursor / cursor of the answer before")
    ] = None


class TestWebhookBody(Strict):
    environment: Environment = Environment.TEST

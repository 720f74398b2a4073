"""Chalice's command line, for moto: as it is, except that what it imports into API Gateway is made OpenAPI 3 first.

Chalice writes Swagger 2, which API Gateway takes and moto does not. Started like `chalice` itself.
"""

import json

import botocore.handlers
from chalice.cli import main


def as_openapi_3(params, **_):
    swagger = json.loads(params["body"])
    del swagger["swagger"]
    swagger["openapi"] = "3.0.1"
    swagger["info"]["description"] = ""
    params["body"] = json.dumps(swagger)


for operation in ("ImportRestApi", "PutRestApi"):
    botocore.handlers.BUILTIN_HANDLERS.append((f"provide-client-params.api-gateway.{operation}", as_openapi_3))

main()

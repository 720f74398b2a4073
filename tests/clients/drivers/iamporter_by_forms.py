"""PyPI's `iamporter`; see tests/support/clients.py."""

import json
import os
import sys

from iamporter import Iamporter
from iamporter.errors import ImpApiError

client = Iamporter(os.environ["IMP_KEY"], os.environ["IMP_SECRET"], imp_url=os.environ["API"])
for line in sys.stdin:
    method, arguments, named = json.loads(line)
    try:
        ended = {"answer": getattr(client, method)(*arguments, **named)}
    except ImpApiError as error:
        ended = {"refusal": {"status": error.response.status, **error.response.raw}}
    print(json.dumps(ended), flush=True)

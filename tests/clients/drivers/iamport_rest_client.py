"""PyPI's `iamport-rest-client`; see tests/support/clients.py."""

import json
import os
import sys

from iamport import Iamport

client = Iamport(os.environ["IMP_KEY"], os.environ["IMP_SECRET"], imp_url=os.environ["API"] + "/")
for line in sys.stdin:
    method, arguments, named = json.loads(line)
    try:
        ended = {"answer": getattr(client, method)(*arguments, **named)}
    except (Iamport.ResponseError, Iamport.HttpError) as error:
        ended = {"refusal": vars(error)}
    print(json.dumps(ended), flush=True)

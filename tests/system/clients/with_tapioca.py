"""Collects a certificate with tapioca-sectigo-api-ssl, a client of this API that is older than Python 3.10.

A script of its own: reads a task (JSON) from standard input and prints what it got, as `with_guzzle.php` does.
"""

from __future__ import annotations

import collections
import collections.abc
import importlib
import json
import sys
from urllib.parse import parse_qs, urlsplit

# Until Python 3.9 the library that it is built on found this in `collections`.
vars(collections).setdefault("Mapping", collections.abc.Mapping)


def main() -> None:
    task = json.load(sys.stdin)
    adapter = importlib.import_module("tapioca_sectigo_api_ssl.tapioca_sectigo_api_ssl")
    adapter.Sectigo_api_sslClientAdapter.api_root = urlsplit(task["endpoint"])._replace(path="").geturl()
    client = adapter.Sectigo_api_ssl()

    def call(query_type: int) -> dict[str, list[str]]:
        form = {**task["form"], "queryType": query_type, "responseType": 3, "responseFormat": 1}
        text = client.collect_ssl().post(data=form, verify=task["ca_file"])().data["text"]
        lines = text.splitlines()
        # Errors come newline-delimited too.
        return parse_qs(text) if "=" in lines[0] else {"errorCode": [lines[0]], "errorMessage": lines[1:]}

    reply = call(0)
    statuses = [int(reply["errorCode"][0])]
    while statuses[-1] == 0:
        reply = call(0)
        statuses.append(int(reply["errorCode"][0]))
    if statuses[-1] > 0:
        reply = call(1)
        statuses.append(int(reply["errorCode"][0]))
    json.dump(
        {"statuses": statuses, **{name: reply.get(name, []) for name in ("certificate", "caCertificate")}}, sys.stdout
    )


if __name__ == "__main__":
    main()

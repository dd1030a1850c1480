"""Verifies requests with independent libraries: one JSON object a line on standard input.

Each line has `secret`, `headers` (a list of pairs) and `body` (base64). For each library the counts are printed as one
JSON object at the end; the exit code is 0 only if every line was accepted by every library.
"""

import base64
import json
import sys

import standardwebhooks
import svix.webhooks


def main() -> int:
    counts = {"lines": 0, "standardwebhooks": 0, "svix": 0}
    failures = []
    for line in sys.stdin:
        case = json.loads(line)
        counts["lines"] += 1
        headers = {name: value for name, value in case["headers"]}
        body = base64.b64decode(case["body"])
        for name, make in (("standardwebhooks", standardwebhooks.Webhook), ("svix", svix.webhooks.Webhook)):
            try:
                make(case["secret"]).verify(body, headers)
                counts[name] += 1
            except Exception as error:  # the libraries share no base class
                failures.append(f"{name}: {headers.get('webhook-id')}: {error!r}")
    print(json.dumps(counts))
    for failure in failures[:10]:
        print(failure, file=sys.stderr)
    return 1 if failures or not counts["lines"] else 0


if __name__ == "__main__":
    sys.exit(main())

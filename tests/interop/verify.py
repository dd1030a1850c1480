"""Verifies requests with independent code: one JSON object a line on standard input.

Each line has `secret`, `headers` (a list of pairs), `url` and `body` (base64). Standard Webhooks is judged by two
libraries, the other schemes by what their documentation says, written here with the standard library alone: each scheme
whose header a request has. For each judge the counts are printed as one JSON object at the end; the exit code is 0 only
if every line was accepted by every judge that it concerns, and none accepted another body.
"""

import base64
import hashlib
import hmac
import json
import re
import sys

import standardwebhooks
import svix.webhooks


def mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def github(secret, headers, url, body):
    """docs.github.com, "Validating webhook deliveries"."""
    return same(headers["x-hub-signature-256"], "sha256=" + mac(secret.encode(), body).hex())


def stripe(secret, headers, url, body):
    """docs.stripe.com, "Verify webhook signatures manually"."""
    parts = [part.split("=", 1) for part in headers["stripe-signature"].split(",")]
    times = [value for name, value in parts if name == "t"]
    signed = mac(secret.encode(), times[0].encode() + b"." + body).hex()
    return len(times) == 1 and any(name == "v1" and same(value, signed) for name, value in parts)


def slack(secret, headers, url, body):
    """api.slack.com, "Verifying requests from Slack"."""
    base = b"v0:" + headers["x-slack-request-timestamp"].encode() + b":" + body
    return same(headers["x-slack-signature"], "v0=" + mac(secret.encode(), base).hex())


def shopify(secret, headers, url, body):
    """shopify.dev, "Verify the webhook"."""
    return same(headers["x-shopify-hmac-sha256"], base64.b64encode(mac(secret.encode(), body)).decode())


def message_signatures(secret, headers, url, body):
    """RFC 9421 with hmac-sha256, and RFC 9530 for the digest."""
    digest = re.fullmatch(r"sha-256=:([A-Za-z0-9+/=]+):", headers["content-digest"])
    if not digest or base64.b64decode(digest[1]) != hashlib.sha256(body).digest():
        return False
    label, parameters = headers["signature-input"].split("=", 1)
    found = re.fullmatch(re.escape(label) + r"=:([A-Za-z0-9+/=]+):", headers["signature"])
    inner = re.match(r"\(([^)]*)\)", parameters)
    derived = {"@method": "POST", "@target-uri": url}
    lines = []
    for name in re.findall(r'"([^"]+)"', inner[1]):
        value = derived[name] if name.startswith("@") else headers[name].strip()
        lines.append(f'"{name}": {value}')
    lines.append(f'"@signature-params": {parameters}')
    key = base64.b64decode(secret.removeprefix("whsec_"))
    covers = {"@method", "@target-uri", "content-digest"} <= set(re.findall(r'"([^"]+)"', inner[1]))
    return covers and hmac.compare_digest(base64.b64decode(found[1]), mac(key, "\n".join(lines).encode()))


# Each scheme by the header that tells that a request is signed so.
SCHEMES = {
    "github": ("x-hub-signature-256", github),
    "stripe": ("stripe-signature", stripe),
    "slack": ("x-slack-signature", slack),
    "shopify": ("x-shopify-hmac-sha256", shopify),
    "http-message-signatures": ("signature-input", message_signatures),
}


def main() -> int:
    counts = {"lines": 0, "standardwebhooks": 0, "svix": 0} | {name: 0 for name in SCHEMES}
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
        for name, (header, verify) in SCHEMES.items():
            if header not in headers:
                continue
            try:
                if not verify(case["secret"], headers, case["url"], body):
                    failures.append(f"{name}: {headers.get('webhook-id')}: it does not fit")
                elif verify(case["secret"], headers, case["url"], body + b" "):
                    failures.append(f"{name}: {headers.get('webhook-id')}: another body fits too")
                else:
                    counts[name] += 1
            except Exception as error:  # whatever a header lacks
                failures.append(f"{name}: {headers.get('webhook-id')}: {error!r}")
    print(json.dumps(counts))
    for failure in failures[:10]:
        print(failure, file=sys.stderr)
    return 1 if failures or not counts["lines"] else 0


if __name__ == "__main__":
    sys.exit(main())

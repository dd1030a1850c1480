"""Signs and verifies with independent libraries: one JSON object a line on standard input, one for each on standard output.

A line has `peer` (the library), `do` (`sign` or `verify`), `secret`, `url`, `id`, `at` (Unix seconds), `form` (whether the
body is a form), `headers` (a list of pairs) and `body` (base64). The answer to `verify` is `{"ok": bool}`, with `why` where
it is not; to `sign` it is `{"headers": [...]}`, all that a request of that scheme needs.
"""

import base64
import datetime
import json
import sys
import urllib.parse

import slack_sdk.signature
import standardwebhooks
import stripe
import svix.webhooks
import twilio.request_validator


class Libraries:
    """What each library calls signing and verifying. A verification that fails raises, or returns something false."""

    @staticmethod
    def standardwebhooks_verify(case, headers, body):
        standardwebhooks.Webhook(case["secret"]).verify(body, headers)
        return True

    @staticmethod
    def standardwebhooks_sign(case, body):
        at = datetime.datetime.fromtimestamp(case["at"], datetime.timezone.utc)
        signature = standardwebhooks.Webhook(case["secret"]).sign(case["id"], at, body.decode())
        return [("webhook-id", case["id"]), ("webhook-timestamp", str(case["at"])), ("webhook-signature", signature)]

    @staticmethod
    def svix_verify(case, headers, body):
        svix.webhooks.Webhook(case["secret"]).verify(body, headers)
        return True

    @staticmethod
    def svix_sign(case, body):
        at = datetime.datetime.fromtimestamp(case["at"], datetime.timezone.utc)
        signature = svix.webhooks.Webhook(case["secret"]).sign(case["id"], at, body.decode())
        return [("svix-id", case["id"]), ("svix-timestamp", str(case["at"])), ("svix-signature", signature)]

    @staticmethod
    def stripe_verify(case, headers, body):
        return stripe.WebhookSignature.verify_header(body.decode(), headers["stripe-signature"], case["secret"], 300)

    @staticmethod
    def stripe_sign(case, body):
        signed = stripe.WebhookSignature._compute_signature(f"{case['at']}.{body.decode()}", case["secret"])
        return [("stripe-signature", f"t={case['at']},v1={signed}")]

    @staticmethod
    def slack_sdk_verify(case, headers, body):
        return slack_sdk.signature.SignatureVerifier(case["secret"]).is_valid_request(body, headers)

    @staticmethod
    def slack_sdk_sign(case, body):
        verifier = slack_sdk.signature.SignatureVerifier(case["secret"])
        signature = verifier.generate_signature(timestamp=str(case["at"]), body=body)
        return [("x-slack-request-timestamp", str(case["at"])), ("x-slack-signature", signature)]

    @staticmethod
    def twilio_fields(case, body):
        if not case["form"]:
            return body.decode()
        fields = urllib.parse.parse_qs(body.decode(), keep_blank_values=True)
        return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}

    @staticmethod
    def twilio_verify(case, headers, body):
        validator = twilio.request_validator.RequestValidator(case["secret"])
        return validator.validate(case["url"], Libraries.twilio_fields(case, body), headers["x-twilio-signature"])

    @staticmethod
    def twilio_sign(case, body):
        validator = twilio.request_validator.RequestValidator(case["secret"])
        fields = Libraries.twilio_fields(case, body) if case["form"] else {}
        return [("x-twilio-signature", validator.compute_signature(case["url"], fields))]


def answer(case):
    body = base64.b64decode(case["body"])
    library = getattr(Libraries, f"{case['peer']}_{case['do']}")
    if case["do"] == "sign":
        return {"headers": library(case, body)}
    try:
        return {"ok": bool(library(case, {name: value for name, value in case["headers"]}, body))}
    except Exception as error:  # the libraries share no base class
        return {"ok": False, "why": repr(error)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)

// The same as peers.py, with libraries from npm.

import { createInterface } from "node:readline";
import { sign, verify } from "@octokit/webhooks-methods";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";

const stripe = new Stripe("sk_test_none");

// What each library calls signing and verifying. A verification that fails throws, or returns something false.
const libraries = {
  standardwebhooks: {
    verify: (asked, headers, body) => {
      new Webhook(asked.secret).verify(body, headers);
      return true;
    },
    sign: (asked, body) => [
      ["webhook-id", asked.id],
      ["webhook-timestamp", String(asked.at)],
      ["webhook-signature", new Webhook(asked.secret).sign(asked.id, new Date(asked.at * 1000), body)],
    ],
  },
  octokit: {
    verify: (asked, headers, body) => verify(asked.secret, body, headers["x-hub-signature-256"]),
    sign: async (asked, body) => [
      ["x-github-delivery", asked.id],
      ["x-hub-signature-256", await sign(asked.secret, body)],
    ],
  },
  stripe: {
    verify: (asked, headers, body) =>
      stripe.webhooks.signature.verifyHeader(body, headers["stripe-signature"], asked.secret, 300),
    sign: (asked, body) => [
      [
        "stripe-signature",
        stripe.webhooks.generateTestHeaderString({ payload: body, secret: asked.secret, timestamp: asked.at }),
      ],
    ],
  },
};

async function answer(asked) {
  const body = Buffer.from(asked.body, "base64").toString("utf8");
  const library = libraries[asked.peer];
  if (asked.do === "sign") {
    return { headers: await library.sign(asked, body) };
  }
  try {
    return { ok: Boolean(await library.verify(asked, Object.fromEntries(asked.headers), body)) };
  } catch (error) {
    return { ok: false, why: String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line))));
}

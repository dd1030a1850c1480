//! Whose webhooks are taken: the schemes with their keys, and what makes sure of us.

use postrider_core::signing::challenge::{self, Answer};
use postrider_core::signing::{Custom, Received, Scheme, Verified, Verifier, VerifyError};
use postrider_core::time::UnixTime;
use postrider_driver::Challenges;

use crate::exit::Refusal;
use crate::http::{Headers, Request, header};
use crate::sign::undescribed;

/// How Twitter's webhooks are called in `--key`, which are no scheme of the core.
const TWITTER: &str = "twitter";

/// What may have signed a request, each scheme with its keys.
pub(super) struct Keys {
    known: Vec<Known>,
    /// The URL that senders have, where it was told.
    url: Option<String>,
    /// What Meta was told to say.
    tokens: Vec<String>,
    /// The topics that were subscribed to at WebSub hubs.
    topics: Vec<String>,
}

pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) verifier: Verifier,
    /// Twitter's consumer secrets.
    consumer: Vec<String>,
}

impl Keys {
    /// Reads `--secret` of `--scheme`, and `--key`.
    pub(super) fn read(args: &super::Args) -> Result<Self, Refusal> {
        let mut texts: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut add = |name, text| match texts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => all.push(text),
            None => texts.push((name, vec![text])),
        };
        for secret in &args.secret {
            add(args.scheme.name(), secret.as_str());
        }
        for (n, key) in args.key.iter().enumerate() {
            // What stands where a name belongs may be a secret, so it is not repeated.
            let refused = |what: &str| Refusal::new(format!("--key number {}: {what}", n + 1));
            let (name, text) = key.split_once(':').ok_or_else(|| refused("write it as scheme:secret"))?;
            let scheme: Option<Scheme> = name.parse().ok();
            match scheme {
                Some(scheme) => add(scheme.name(), text),
                None if name == TWITTER => add(TWITTER, text),
                None => return Err(refused("no scheme has this name; `sign --scheme ?` lists them")),
            }
        }
        let known = texts.into_iter().map(|(name, texts)| Known::read(name, &texts)).collect::<Result<_, _>>()?;
        Ok(Self { known, url: args.url.clone(), tokens: args.verify_token.clone(), topics: args.topic.clone() })
    }

    /// Whether nothing is verified.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The scheme that signs the URL, which was not told.
    pub(super) fn lacks_url(&self) -> Option<&'static str> {
        let signs = |known: &&Known| known.verifier.scheme().signs_url();
        self.known.iter().find(signs).filter(|_| self.url.is_none()).map(|known| known.name)
    }

    /// The URL of a request as its sender has it, as far as that can be known. The query is always the request's own.
    pub(super) fn url(&self, request: &Request) -> String {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let mut url = self.url.clone().unwrap_or_else(|| {
            let host = header(&request.headers, "host").unwrap_or_default();
            format!("http://{}{path}", String::from_utf8_lossy(host))
        });
        if !query.is_empty() && !url.contains('?') {
            url.push('?');
            url.push_str(query);
        }
        url
    }

    /// Checks a request against every scheme. Of several refusals the one that says most is told: that of a scheme whose
    /// headers are there.
    pub(super) fn verify<'k>(
        &'k self,
        received: &Received<'k, Headers>,
        now: UnixTime,
    ) -> Result<(&'k Known, Verified<'k>), VerifyError> {
        let mut refused = None;
        for known in &self.known {
            match known.verifier.verify(received, now) {
                Ok(verified) => return Ok((known, verified)),
                Err(VerifyError::Missing { .. }) if refused.is_some() => {}
                Err(error) => {
                    if matches!(refused, None | Some(VerifyError::Missing { .. })) {
                        refused = Some(error);
                    }
                }
            }
        }
        Err(refused.unwrap_or(VerifyError::NoMatch { signatures: 0 }))
    }

    /// What unsigned questions are answered: of Meta, WebSub hubs and X.
    pub(super) fn challenges(&self) -> Challenges {
        let challenges = Challenges::default().topics(&self.topics);
        let challenges = challenges.consumer_secrets(self.known.iter().flat_map(|known| &known.consumer));
        let meta = self.known.iter().any(|known| known.verifier.scheme() == Scheme::Meta);
        if meta { challenges.verify_tokens(&self.tokens) } else { challenges }
    }
}

impl Known {
    fn read(name: &'static str, texts: &[&str]) -> Result<Self, Refusal> {
        let refused = |why: &dyn std::fmt::Display| Refusal::new(format!("--secret or --key of {name}: {why}"));
        if name == TWITTER {
            let scheme = Custom::sha256("x-twitter-webhooks-signature").base64().prefix("sha256=");
            let verifier = Verifier::custom(scheme, texts).map_err(|why| refused(&why))?;
            let consumer = texts.iter().map(|text| (*text).to_owned()).collect();
            return Ok(Self { name, verifier, consumer });
        }
        let scheme: Scheme = name.parse().map_err(|why| refused(&why))?;
        if scheme == Scheme::Custom {
            return Err(undescribed());
        }
        let verifier = Verifier::new(scheme, texts).map_err(|why| refused(&why))?;
        Ok(Self { name, verifier, consumer: Vec::new() })
    }

    /// The answer to a question that was asked by a signed request: of Slack, Zoom or Discord.
    pub(super) fn asked(&self, verified: &Verified<'_>) -> Option<Answer> {
        challenge::signed(&self.verifier, verified)
    }
}

//! What an endpoint chooses of how its events are selected and signed.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::reserved::may_carry_signature;
use super::{Endpoint, EndpointError};
use crate::matching::filter::{Filter, Language};
use crate::signing::{Dialect, DialectError, Dialects};

impl Endpoint {
    /// Narrows what it wants by what events say: a content filter, see [`filter`](crate::matching::filter). A filter sees
    /// the `id` and the `type` of an event as texts, and under `data` its payload, if that was published as JSON; of any
    /// other payload it sees nothing, so that a filter which asks for a value there does not match, and one which asks for
    /// its absence does.
    ///
    /// ```
    /// use postrider_core::matching::filter::Language;
    /// use postrider_core::registration::Endpoint;
    /// let large = r#"{"data": {"amount": [{"numeric": [">=", 100]}]}}"#;
    /// let acme = Endpoint::new("acme", "https://acme.example.com/hooks").events(["order.**"]);
    /// let acme = acme.filter(Language::EventBridge, large);
    /// ```
    pub fn filter(mut self, language: Language, text: impl AsRef<str>) -> Self {
        match Filter::read(language, text.as_ref()) {
            Ok(filter) => self.filter = Some(filter),
            Err(why) => self.note(EndpointError::Filter(why)),
        }
        self
    }

    /// The filter as the journal says it; a language of a later version is a mistake.
    pub(crate) fn filter_of(mut self, filter: Option<(u8, &str)>) -> Self {
        let Some((language, text)) = filter else { return self };
        match Language::from_wire(language) {
            Some(language) => self.filter(language, text),
            None => {
                self.note(EndpointError::FilterLanguage(language));
                self
            }
        }
    }

    /// Sets how its requests are signed; without it, by Standard Webhooks. Several schemes sign side by side, so that its
    /// receiver can change from one to another. A change holds for every request that is built once it is durable,
    /// retries included.
    ///
    /// ```
    /// use postrider_core::registration::Endpoint;
    /// use postrider_core::signing::Dialect;
    /// let acme = Endpoint::new("acme", "https://acme.example.com/hooks").sign([Dialect::Standard, Dialect::Github]);
    /// ```
    pub fn sign(mut self, dialects: impl IntoIterator<Item = Dialect>) -> Self {
        match Dialects::new(dialects) {
            Ok(dialects) => self.dialects = dialects,
            Err(why) => self.note(EndpointError::Sign(why)),
        }
        self
    }

    /// Whether its answers of success are to carry a signed receipt ([`receipt`](crate::signing::receipt)), which is
    /// verified and recorded with the attempt; without it, none is looked for. Our receivers give them with
    /// [`ReceiverConfig::receipts`](crate::receiver::ReceiverConfig::receipts).
    ///
    /// A receipt that is missing or wrong changes nothing about the delivery, which has been made. It is told of by a notice
    /// when it begins and when it ends. It needs a shared key, and a signature of Standard Webhooks.
    pub fn receipts(mut self, ask: bool) -> Self {
        self.receipts = ask;
        self
    }

    /// Whether its receiver can give receipts, where they are asked for.
    pub(super) fn check_receipts(&self) -> Result<(), EndpointError> {
        let standard = |dialect: &Dialect| matches!(dialect, Dialect::Standard | Dialect::Svix);
        let can = !self.receipts || self.dialects.as_slice().iter().any(standard);
        if can { Ok(()) } else { Err(EndpointError::Receipts) }
    }

    /// The dialects as the journal says them; one of a later version is a mistake.
    pub(crate) fn sign_of<'r>(mut self, dialects: impl IntoIterator<Item = (u8, &'r [String])>) -> Self {
        let read = |(number, parts)| Dialect::from_wire(number, parts).ok_or(DialectError::Unknown(number));
        match dialects.into_iter().map(read).collect::<Result<Vec<_>, _>>() {
            Ok(dialects) if dialects.is_empty() => self,
            Ok(dialects) => self.sign(dialects),
            Err(why) => {
                self.note(EndpointError::Sign(why));
                self
            }
        }
    }

    /// Whether each dialect may set its headers, and the endpoint's owner sets none of them.
    pub(super) fn check_signature_headers(&self) -> Result<(), EndpointError> {
        for dialect in self.dialects.as_slice() {
            for header in dialect.headers() {
                let described = matches!(dialect, Dialect::Hmac(_));
                if described && !may_carry_signature(&header) {
                    return Err(EndpointError::Sign(DialectError::Reserved { header: header.into() }));
                }
                if self.headers.iter().any(|(name, _)| name.as_str() == header) {
                    return Err(EndpointError::Sign(DialectError::Custom { header: header.into() }));
                }
            }
        }
        Ok(())
    }
}

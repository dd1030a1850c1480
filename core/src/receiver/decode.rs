//! What a delivery says: the events in it, and their data as values.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::delivery::Delivery;
use crate::encoding::{Attribute, CloudData, CloudEvent, CloudEventError, FormError, Mode, XmlError};
use crate::encoding::{decode_form, decode_xml};
use crate::limits;
use crate::signing::{Place, Scheme};
use crate::time::UnixTime;

const JSON: &str = "application/json";
const XML: &str = "application/xml";

impl Delivery {
    /// The events that the request carries, in its order. Most carry one.
    ///
    /// | request | events |
    /// | --- | --- |
    /// | CloudEvents, by `content-type` or `ce-specversion` | as many as it says, perhaps none |
    /// | SendGrid | one for each element of the array |
    /// | Adyen's payment notifications | one for each `NotificationRequestItem` of `/notificationItems` |
    /// | LINE | one for each element of `/events`, perhaps none |
    /// | Meta | one for each element of `/entry` |
    /// | an envelope of Standard Webhooks: `type`, `timestamp` and `data`, in JSON, XML or a form | one, of this type and time, whose data is `data` |
    /// | everything else | one: the payload |
    ///
    /// Envelopes are looked for where the scheme is Standard Webhooks, HTTP Message Signatures or of the caller's own. A
    /// request that should be a batch or an envelope and has not the shape of one is everything else, so that what no
    /// table foresaw still arrives.
    ///
    /// The events of one delivery share its answer: if one cannot be processed, all of them come again. Each has an
    /// [`id`](ReceivedEvent::id) by which those can be known that had their effect.
    ///
    /// The `ce-` headers of CloudEvents whose data is the body are covered by no signature but one of HTTP Message Signatures
    /// that names them: anyone on the way may have changed type and source.
    ///
    /// Fails for what says that it is CloudEvents and is not, and beyond
    /// [`EVENTS_IN_A_REQUEST`](limits::EVENTS_IN_A_REQUEST). The data of the events shares the memory of the body where it
    /// is JSON; each call reads the body anew.
    pub fn events(&self) -> Result<Vec<ReceivedEvent>, DecodeError> {
        if self.is_cloud() {
            let events = CloudEvent::decode(self.headers(), self.body()).map_err(DecodeError::CloudEvents)?;
            return at_most(events.len()).map(|()| events.into_iter().map(|event| self.cloud(event)).collect());
        }
        if let Some(batch) = Batch::of(self.scheme())
            && let Some(items) = batch.items(self.payload())
        {
            let event = |(n, item): (usize, &str)| self.item(batch, n, self.payload().slice_ref(item.as_bytes()));
            return at_most(items.len()).map(|()| items.into_iter().enumerate().map(event).collect());
        }
        let envelope = match self.scheme() {
            Scheme::Standard | Scheme::MessageSignatures | Scheme::Custom => self.envelope(),
            _ => None,
        };
        Ok(alloc::vec![envelope.unwrap_or_else(|| self.whole())])
    }

    /// The payload as a value, whichever way it is written: JSON, XML or a form by its `content-type`, JSON where that
    /// says nothing or two things, and with Braintree XML.
    ///
    /// JSON may have 127 objects and arrays inside one another, the pairs of brackets of a form 126. XML is read as
    /// [`decode_xml`] says, so that an envelope of a sender is the same value in all three; forms as [`decode_form`]
    /// says, so that their values are strings. Each call reads the payload anew.
    pub fn value(&self) -> Result<Value, DecodeError> {
        value(self.media_type(), self.payload())
    }

    /// What the payload is, where the request says it in one header.
    fn media_type(&self) -> Option<&str> {
        if self.scheme() == Scheme::Braintree {
            return Some(XML);
        }
        let mut said = self.headers().get_all(CONTENT_TYPE).iter().map(HeaderValue::to_str);
        match (said.next(), said.next()) {
            (Some(Ok(said)), None) => Some(said),
            _ => None,
        }
    }

    fn is_cloud(&self) -> bool {
        match self.mode() {
            Mode::Structured | Mode::Batch | Mode::Unsupported => true,
            Mode::Binary => self.scheme() != Scheme::Braintree && self.headers().contains_key("ce-specversion"),
        }
    }

    /// How it carries CloudEvents, if it does.
    fn mode(&self) -> Mode {
        Mode::of(self.headers().get(CONTENT_TYPE).and_then(|said| said.to_str().ok()))
    }

    fn cloud(&self, event: CloudEvent) -> ReceivedEvent {
        let text = |name| match event.attribute(name) {
            Some(Attribute::Text(text)) => Some(text.clone()),
            Some(Attribute::Integer(_) | Attribute::Boolean(_)) | None => None,
        };
        // The signature covers no `ce-` header, but perhaps an id that says the same.
        let is_told = |id: &String| self.mode() != Mode::Binary || self.covered().id && self.event_id() == Some(id);
        let id = text("id").filter(is_told);
        let data = event.data().map(CloudData::bytes).unwrap_or_default();
        let media_type = match event.data() {
            Some(CloudData::Json(_)) => {
                let said = text("datacontenttype").filter(|said| syntax(Some(said)) == Ok(Syntax::Json));
                Some(said.unwrap_or_else(|| JSON.into()))
            }
            Some(CloudData::Text(_) | CloudData::Binary(_)) | None => text("datacontenttype"),
        };
        ReceivedEvent {
            id: id.unwrap_or_else(|| self.dedup_key().into_owned()),
            kind: text("type"),
            time: text("time").and_then(|time| UnixTime::parse_rfc3339(&time)).or_else(|| self.timestamp()),
            media_type,
            data,
            cloud: Some(Box::new(event)),
        }
    }

    fn item(&self, batch: &Batch, n: usize, data: Bytes) -> ReceivedEvent {
        let read = |pointer: Option<&'static str>| Place::Json(pointer?).read(self.headers(), &data);
        let id = read(batch.id).filter(|id| (1..=256).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()));
        ReceivedEvent {
            id: id.map_or_else(|| alloc::format!("{}#{n}", self.dedup_key()), Cow::into_owned),
            kind: batch.kind.map_or_else(|| self.kind(), |kind| read(Some(kind))).map(Cow::into_owned),
            time: read(batch.time).and_then(|time| time_of(&time)).or_else(|| self.timestamp()),
            media_type: Some(JSON.into()),
            cloud: None,
            data,
        }
    }

    fn envelope(&self) -> Option<ReceivedEvent> {
        let payload = self.payload();
        let (kind, time, data) = match syntax(self.media_type()).ok()? {
            Syntax::Json => {
                let Envelope { kind, timestamp, data } = serde_json::from_slice(payload).ok()?;
                (kind.into_owned(), timestamp.into_owned(), payload.slice_ref(data.get().as_bytes()))
            }
            Syntax::Xml | Syntax::Form => {
                let Value::Object(mut members) = self.value().ok()? else { return None };
                let mut text = |name| match members.remove(name) {
                    Some(Value::String(text)) => Some(text),
                    Some(_) | None => None,
                };
                let (kind, time) = (text("type")?, text("timestamp")?);
                (kind, time, members.remove("data")?.to_string().into())
            }
        };
        let time = Some(UnixTime::parse_rfc3339(&time)?);
        let (id, media_type) = (self.dedup_key().into_owned(), Some(JSON.into()));
        Some(ReceivedEvent { id, kind: Some(kind), time, media_type, data, cloud: None })
    }

    fn whole(&self) -> ReceivedEvent {
        let facts = self.scheme().facts();
        let happened = match facts.order.place {
            Place::Json(_) => self.order().and_then(|time| time_of(&time)),
            Place::Header(_) | Place::Nowhere => None,
        };
        let told = || facts.time.place.read(self.headers(), self.body()).and_then(|time| time_of(&time));
        ReceivedEvent {
            id: self.dedup_key().into_owned(),
            kind: self.kind().map(Cow::into_owned),
            time: happened.or_else(told).or_else(|| self.timestamp()),
            media_type: self.media_type().map(Into::into),
            data: self.payload().clone(),
            cloud: None,
        }
    }
}

/// One event of a [`Delivery`].
#[derive(Clone, PartialEq)]
pub struct ReceivedEvent {
    id: String,
    kind: Option<String>,
    time: Option<UnixTime>,
    media_type: Option<String>,
    data: Bytes,
    cloud: Option<Box<CloudEvent>>,
}

impl ReceivedEvent {
    /// The same whenever the event is sent again: its own id where the body says one, of an element of a batch that says
    /// none the [`dedup_key`](Delivery::dedup_key) of the delivery with `#` and its place, counted from 0, and of a
    /// delivery that is one event its [`dedup_key`](Delivery::dedup_key).
    ///
    /// Ids are the sender's: together with the [`scope`](Delivery::scope), and of CloudEvents with the
    /// [`source`](Self::source), they tell events apart. The id of CloudEvents in headers, which no signature covers,
    /// counts only where the delivery has the same and covers it; [`cloud_event`](Self::cloud_event) has it in any case.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its type, where it has one.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// When it happened, as far as it says so; else when the request was signed.
    pub fn time(&self) -> Option<UnixTime> {
        self.time
    }

    /// The source, of CloudEvents.
    pub fn source(&self) -> Option<&str> {
        match self.cloud.as_ref()?.attribute("source")? {
            Attribute::Text(source) => Some(source),
            Attribute::Integer(_) | Attribute::Boolean(_) => None,
        }
    }

    /// All its attributes, of CloudEvents.
    pub fn cloud_event(&self) -> Option<&CloudEvent> {
        self.cloud.as_deref()
    }

    /// What the data is, where it is known; `application/json` for an element of a batch and for what was in an
    /// envelope.
    pub fn content_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// Its data, as it was written; what came in an envelope of XML or a form, as JSON. Empty where CloudEvents have
    /// none.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Its data as a value, as [`Delivery::value`] reads it.
    pub fn value(&self) -> Result<Value, DecodeError> {
        value(self.content_type(), &self.data)
    }
}

impl fmt::Debug for ReceivedEvent {
    /// Without data, of which only the length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedEvent")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("time", &self.time)
            .field("content_type", &self.media_type)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// Why a delivery does not say what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The data is neither JSON nor XML nor a form.
    MediaType {
        /// What it is said to be.
        said: Box<str>,
    },
    /// The data is JSON that cannot be read.
    Json {
        /// The line, counted from 1.
        line: usize,
        /// The byte within the line, counted from 1; 0 before the first.
        column: usize,
        /// In the words of the parser.
        why: Box<str>,
    },
    /// The data is XML that cannot be read.
    Xml(XmlError),
    /// The data is a form that cannot be read.
    Form(FormError),
    /// The request says that it is CloudEvents, and is not.
    CloudEvents(CloudEventError),
    /// The request has more events than are read.
    TooMany {
        /// How many it has.
        events: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType { said } => {
                write!(f, "the data is {said:?}; what is read is JSON, XML and application/x-www-form-urlencoded")
            }
            Self::Json { line, column, why } => write!(f, "line {line}, column {column} of the JSON: {why}"),
            Self::Xml(why) => why.fmt(f),
            Self::Form(why) => why.fmt(f),
            Self::CloudEvents(why) => write!(f, "the request is no CloudEvent: {why}"),
            Self::TooMany { events } => {
                write!(f, "the request has {events} events, at most {} are read", limits::EVENTS_IN_A_REQUEST)
            }
        }
    }
}

impl core::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Xml(why) => Some(why),
            Self::Form(why) => Some(why),
            Self::CloudEvents(why) => Some(why),
            Self::MediaType { .. } | Self::Json { .. } | Self::TooMany { .. } => None,
        }
    }
}

/// Where the events are of a scheme that sends several at once, and what each says of itself.
struct Batch {
    scheme: Scheme,
    /// The array, in the body.
    list: &'static str,
    /// The event, in an element.
    inner: &'static str,
    /// What an event says, in it.
    id: Option<&'static str>,
    /// The delivery's where there is none.
    kind: Option<&'static str>,
    time: Option<&'static str>,
}

/// The schemes that send several events at once.
static BATCHES: [Batch; 4] = [
    // https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
    Batch {
        scheme: Scheme::Sendgrid,
        list: "",
        inner: "",
        id: Some("/sg_event_id"),
        kind: Some("/event"),
        time: Some("/timestamp"),
    },
    // https://docs.adyen.com/development-resources/webhooks/webhook-types. No one member is an id: several events may
    // tell of one pspReference.
    Batch {
        scheme: Scheme::AdyenNotification,
        list: "/notificationItems",
        inner: "/NotificationRequestItem",
        id: None,
        kind: Some("/eventCode"),
        time: Some("/eventDate"),
    },
    // https://developers.line.biz/en/reference/messaging-api/#webhook-event-objects
    Batch {
        scheme: Scheme::Line,
        list: "/events",
        inner: "",
        id: Some("/webhookEventId"),
        kind: Some("/type"),
        time: Some("/timestamp"),
    },
    // https://developers.facebook.com/docs/graph-api/webhooks/getting-started. The `id` of an entry is that of the
    // object that changed.
    Batch { scheme: Scheme::Meta, list: "/entry", inner: "", id: None, kind: None, time: Some("/time") },
];

impl Batch {
    fn of(scheme: Scheme) -> Option<&'static Self> {
        BATCHES.iter().find(|batch| batch.scheme == scheme)
    }

    /// The events in a body that has the shape of a batch, as they are written.
    fn items<'b>(&self, body: &'b [u8]) -> Option<Vec<&'b str>> {
        let list = Place::Json(self.list).part(body)?;
        let items: Vec<&RawValue> = serde_json::from_str(list).ok()?;
        items.into_iter().map(|item| Place::Json(self.inner).part(item.get().as_bytes())).collect()
    }
}

/// An envelope of Standard Webhooks; what else is in it is passed over.
#[derive(Deserialize)]
struct Envelope<'b> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'b, str>,
    #[serde(borrow)]
    timestamp: Cow<'b, str>,
    #[serde(borrow)]
    data: &'b RawValue,
}

fn at_most(events: usize) -> Result<(), DecodeError> {
    if events > limits::EVENTS_IN_A_REQUEST { Err(DecodeError::TooMany { events }) } else { Ok(()) }
}

/// How bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Json,
    Xml,
    Form,
}

fn syntax(media_type: Option<&str>) -> Result<Syntax, DecodeError> {
    let Some(said) = media_type else { return Ok(Syntax::Json) };
    let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    match subtype.rsplit('+').next().unwrap_or_default() {
        "json" => Ok(Syntax::Json),
        "xml" => Ok(Syntax::Xml),
        "x-www-form-urlencoded" => Ok(Syntax::Form),
        _ => Err(DecodeError::MediaType { said: said.into() }),
    }
}

fn value(media_type: Option<&str>, data: &[u8]) -> Result<Value, DecodeError> {
    match syntax(media_type)? {
        Syntax::Json => json(data),
        Syntax::Xml => decode_xml(data).map_err(DecodeError::Xml),
        Syntax::Form => decode_form(data).map_err(DecodeError::Form).and_then(|payload| json(payload.body())),
    }
}

fn json(text: &[u8]) -> Result<Value, DecodeError> {
    serde_json::from_slice(text).map_err(|why| {
        let (line, column) = (why.line(), why.column());
        let said = why.to_string();
        let said = said.split_once(" at line ").map_or(&*said, |(said, _)| said);
        DecodeError::Json { line, column, why: said.into() }
    })
}

/// A time as providers write it: RFC 3339, or seconds or milliseconds since 1970, where seconds may have a fraction.
fn time_of(text: &str) -> Option<UnixTime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return UnixTime::parse_rfc3339(text);
    }
    let number: u64 = whole.parse().ok()?;
    // Of which no second before the year 5138 is one.
    if number >= 100_000_000_000 {
        return Some(UnixTime::from_millis(number));
    }
    let millis = fraction.bytes().chain(*b"000").take(3).fold(0, |millis, digit| millis * 10 + u64::from(digit - b'0'));
    Some(UnixTime::from_millis(number * 1000 + millis))
}

#[cfg(test)]
mod tests;

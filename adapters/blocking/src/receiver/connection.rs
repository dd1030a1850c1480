//! One connection: its requests, one after the other.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use postrider_core::receiver::{ExchangeId, RecvInput, RequestHead};
use ureq_proto::server::Reply;
use ureq_proto::server::state::RecvBody;

use super::House;
use super::door::Visit;
use super::drive::{ASKS, Ask, Fact};
use super::http::{Answer, CONTINUE, Head, may_end};
use super::seen::{Fault, Seen};

/// Bytes of a head, at most.
const HEAD_BYTES: usize = 32 * 1024;

/// Bytes that are read at once, at most.
const READ_BYTES: usize = 16 * 1024;

/// How long an answer may take to be written, by each of its parts.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// How long, and for how many reads, a peer that is still sending is listened to after its answer.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 64);

/// One connection.
pub(super) struct Connection<'a> {
    house: &'a House,
    visit: &'a Visit,
    peer: SocketAddr,
    wire: Wire<'a>,
}

/// A stream, and what has come from it and is not used yet.
struct Wire<'a> {
    stream: &'a TcpStream,
    buffer: Vec<u8>,
}

/// Why nothing more came.
enum Stop {
    TimedOut,
    HungUp,
}

/// Why there is no body.
enum Unread {
    TooLarge,
    Faulty(Fault),
}

impl<'a> Connection<'a> {
    pub(super) fn new(house: &'a House, visit: &'a Visit, peer: SocketAddr) -> Self {
        Self { house, visit, peer, wire: Wire { stream: visit.stream(), buffer: Vec::new() } }
    }

    /// Answers requests until the connection is over.
    pub(super) fn run(mut self) {
        // They fail for a socket that is closed already, which the first read finds out.
        let _ = self.wire.stream.set_nodelay(true);
        let _ = self.wire.stream.set_write_timeout(Some(WRITE_TIME));
        let times = self.house.times;
        let mut begin = Instant::now() + times.head;
        while self.begins(begin) {
            if !self.answer_next(Instant::now() + times.head) {
                return;
            }
            begin = Instant::now() + times.idle;
        }
    }

    /// Waits for the first byte of a request.
    fn begins(&mut self, deadline: Instant) -> bool {
        if !self.wire.buffer.is_empty() {
            return true;
        }
        let begins = self.visit.rest() && self.wire.fill(READ_BYTES, deadline).is_ok();
        self.visit.work();
        begins
    }

    /// Answers a request; says whether there may be another.
    fn answer_next(&mut self, deadline: Instant) -> bool {
        match self.wire.head(deadline) {
            Ok(head) => self.answer(head),
            Err(fault) => self.reject(fault),
        }
    }

    fn answer(&mut self, mut head: Head) -> bool {
        let id = self.house.exchange();
        let (asks, asked) = mpsc::sync_channel(ASKS);
        let (parts, ()) = std::mem::take(&mut head.request).into_parts();
        let method = parts.method.clone();
        let told =
            RequestHead::new(parts.method, parts.headers).target(parts.uri.to_string()).declared_length(head.length);
        self.house.tell(Fact::Head { exchange: id, head: told, asks });
        loop {
            match asked.recv() {
                Ok(Ask::Body { cap }) => match self.body(&mut head, cap) {
                    Ok(body) => self.house.tell(Fact::Read(RecvInput::Body { exchange: id, body })),
                    Err(Unread::TooLarge) => self.house.tell(Fact::Read(RecvInput::BodyTooLarge { exchange: id })),
                    Err(Unread::Faulty(fault)) => {
                        self.house.tell(Fact::Dropped(id));
                        return self.reject(fault);
                    }
                },
                Ok(Ask::Answer { response, unverified }) => {
                    let (answer, reason) = (Answer::from(&response), Some(response.reason()));
                    return self.finish(&head, &method, &answer, |peer, status, written| Seen::Answered {
                        peer,
                        status,
                        reason,
                        unverified,
                        written,
                    });
                }
                // The loop has ended.
                Err(mpsc::RecvError) => {
                    let answered = |peer, status, written| Seen::Answered {
                        peer,
                        status,
                        reason: None,
                        unverified: None,
                        written,
                    };
                    return self.finish(&head, &method, &Answer::closed(), answered);
                }
            }
        }
    }

    /// Reads the body of a request, and asks its sender for it if he waits to be asked.
    fn body(&mut self, head: &mut Head, cap: usize) -> Result<Bytes, Unread> {
        let Some(reader) = &mut head.body else { return Ok(Bytes::new()) };
        let (begun, time) = (Instant::now(), self.house.times.body);
        if head.expects && self.wire.buffer.is_empty() {
            self.wire.write(CONTINUE).map_err(|_| Unread::Faulty(Fault::HungUp))?;
        }
        self.wire.body(reader, cap, |received| begun + time.until(received))
    }

    /// Writes an answer; says whether there may be another request.
    fn finish(
        &mut self,
        head: &Head,
        method: &Method,
        answer: &Answer,
        seen: impl FnOnce(SocketAddr, http::StatusCode, bool) -> Seen,
    ) -> bool {
        let whole = head.body.as_ref().is_none_or(Reply::is_ended);
        let keep = whole && head.keep && !self.visit.is_closing();
        let written = self.wire.write(&answer.write(method, keep)).is_ok();
        self.house.watch.tell(seen(self.peer, answer.status, written));
        if written && !keep {
            self.wire.linger();
        }
        written && keep
    }

    /// Ends a connection that sent no request. There is no other after it.
    fn reject(&mut self, fault: Fault) -> bool {
        // The method is not known, or is POST.
        let answer = fault.status().map(|status| Answer::text(status, fault.text()).write(&Method::POST, false));
        let written = answer.is_some_and(|answer| self.wire.write(&answer).is_ok());
        self.house.watch.tell(Seen::Faulty { peer: self.peer, fault });
        if written {
            self.wire.linger();
        }
        false
    }
}

impl Wire<'_> {
    /// The next head. Looked at when it may have ended and whenever twice as much of it is there, so that one which comes
    /// byte by byte costs no more than its length twice.
    fn head(&mut self, deadline: Instant) -> Result<Head, Fault> {
        let (mut looked, mut read) = (0_usize, 0);
        loop {
            let length = self.buffer.len();
            let ends = may_end(&self.buffer[looked.saturating_sub(2)..]);
            looked = length;
            if ends || length >= 2 * read {
                read = length;
                if let Some((used, head)) = Head::read(&self.buffer)? {
                    self.buffer.drain(..used);
                    return Ok(head);
                }
            }
            if length >= HEAD_BYTES {
                return Err(Fault::HeadTooLarge);
            }
            self.fill(HEAD_BYTES - length, deadline).map_err(|stop| match stop {
                Stop::TimedOut => Fault::HeadTimedOut,
                Stop::HungUp => Fault::HungUp,
            })?;
        }
    }

    fn body(
        &mut self,
        reader: &mut Reply<RecvBody>,
        cap: usize,
        deadline: impl Fn(usize) -> Instant,
    ) -> Result<Bytes, Unread> {
        let malformed = Unread::Faulty(Fault::Malformed("its body is not chunked as it should be"));
        let mut body = Vec::new();
        while !reader.is_ended() {
            let start = body.len();
            // What is read of a body is never longer than what was sent of it.
            body.resize(start + self.buffer.len(), 0);
            let Ok((used, made)) = reader.read(&self.buffer, &mut body[start..]) else { return Err(malformed) };
            self.buffer.drain(..used);
            body.truncate(start + made);
            if body.len() > cap {
                return Err(Unread::TooLarge);
            }
            if used == 0 && !reader.is_ended() {
                if self.buffer.len() >= HEAD_BYTES {
                    return Err(malformed);
                }
                self.fill(READ_BYTES, deadline(body.len())).map_err(|stop| match stop {
                    Stop::TimedOut => Unread::Faulty(Fault::BodyTimedOut),
                    Stop::HungUp => Unread::Faulty(Fault::HungUp),
                })?;
            }
        }
        Ok(body.into())
    }

    /// Waits for some more bytes, at most `most`.
    fn fill(&mut self, most: usize, deadline: Instant) -> Result<(), Stop> {
        let start = self.buffer.len();
        self.buffer.resize(start + most.min(READ_BYTES), 0);
        let read = read(self.stream, &mut self.buffer[start..], deadline);
        self.buffer.truncate(start + read.as_ref().map_or(0, |read| *read));
        read.map(drop)
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Lets a peer that is still sending read its answer: closing with unread bytes would reset the connection.
    fn linger(&mut self) {
        let (time, reads) = LINGER;
        let deadline = Instant::now() + time;
        let _ = self.stream.shutdown(Shutdown::Write);
        self.buffer.resize(READ_BYTES, 0);
        for _ in 0..reads {
            if read(self.stream, &mut self.buffer, deadline).is_err() {
                return;
            }
        }
    }
}

/// Reads at least a byte.
fn read(mut stream: &TcpStream, buffer: &mut [u8], deadline: Instant) -> Result<usize, Stop> {
    loop {
        let time = deadline.saturating_duration_since(Instant::now());
        if time.is_zero() {
            return Err(Stop::TimedOut);
        }
        stream.set_read_timeout(Some(time)).map_err(|_| Stop::HungUp)?;
        match stream.read(buffer) {
            Ok(0) => return Err(Stop::HungUp),
            Ok(read) => return Ok(read),
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(Stop::TimedOut);
            }
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(Stop::HungUp),
        }
    }
}

impl House {
    fn exchange(&self) -> ExchangeId {
        ExchangeId::new(self.exchanges.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    /// It fails when the loop has ended, and then nothing is asked any more.
    fn tell(&self, fact: Fact) {
        let _ = self.facts.send(fact);
    }
}

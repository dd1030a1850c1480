//! Operators: they register endpoints and change them.

use std::time::Duration;

use postrider_core::encoding::Encoding;
use postrider_core::id::{EndpointId, EndpointKey, TenantId};
use postrider_core::matching::filter::Language;
use postrider_core::registration::consent::ConsentBy;
use postrider_core::registration::{Endpoint, Ordering};
use postrider_core::retry::{self, BreakerPolicy, DisableRule, Per};
use postrider_core::secret::Secret;
use postrider_core::sender::{Change, Close, CommandError, PutError};
use postrider_core::signing::{Custom, Dialect};
use postrider_core::time::UnixTime;

use crate::observe::{Ask, Filter, Form, Key, Pace, Place, Refusal, SECOND, Scheme, Seen, Spec, Told, Wish};
use crate::profile::Class;

use super::content::{draw_filter, draw_pace, draw_patterns, draw_schemes};
use super::node::now;
use super::{Caller, Happening, Register, World};

impl World {
    pub(super) fn begin_operating(&mut self) {
        let classes = self.profile.classes;
        let any = [Class::Operators, Class::Removals, Class::Keys, Class::Cancels, Class::Closes];
        if any.into_iter().any(|class| classes.has(class)) {
            let first = self.streams.operator.about(self.profile.operator);
            self.schedule.at(self.now.after(first), Happening::Operate);
        }
    }

    /// The next step towards an endpoint that is there, and active if operators have stopped working on it.
    pub(super) fn register(&mut self, endpoint: u32, how: Register) {
        let place = &self.places[endpoint as usize];
        if self.nodes[place.node as usize].up.is_none() {
            return self.register_after(5 * SECOND, endpoint, how);
        }
        let caller = Caller::Registrar { endpoint, how };
        match how {
            Register::First => {
                let spec = place.spec.clone();
                self.put(&spec, caller);
            }
            Register::Again => {
                let spec = Spec { keys: Vec::new(), ..place.spec.clone() };
                self.put(&spec, caller);
            }
            Register::Anew => {
                let key = self.give_key(endpoint);
                let spec = &mut self.places[endpoint as usize].spec;
                spec.keys = vec![key];
                let spec = spec.clone();
                self.put(&spec, caller);
            }
            Register::Resume => self.command(endpoint, &Wish::Resume(endpoint), caller),
        }
    }

    fn register_after(&mut self, nanos: u64, endpoint: u32, how: Register) {
        self.schedule.at(self.now.after(nanos), Happening::Register { endpoint, how });
    }

    pub(super) fn registered(&mut self, endpoint: u32, how: Register, told: Told) {
        let next = match (how, told) {
            (Register::First | Register::Resume, Told::Ok { .. }) => return,
            (Register::Again | Register::Anew, Told::Ok { .. }) => Register::Resume,
            // It is not there, so it needs a key.
            (Register::Again, Told::Refused(Refusal::Invalid)) => Register::Anew,
            (_, Told::Refused(_) | Told::Lost) => return self.register_after(5 * SECOND, endpoint, how),
        };
        self.register_after(1, endpoint, next);
    }

    fn put(&mut self, spec: &Spec, caller: Caller) {
        let node = self.places[spec.endpoint as usize].node;
        let clocks = self.clocks(node);
        self.calls += 1;
        let call = self.calls;
        self.see(&Seen::Asked { call, node, clocks, wish: Wish::Put(spec) });
        let Some(process) = &mut self.nodes[node as usize].up else { return };
        match process.sender.put(now(clocks), endpoint_of(spec)) {
            Ok(put) => {
                let change = put.change();
                self.await_record(node, change.seq, call, change.changed, caller);
            }
            Err(refused) => {
                let why = match refused {
                    PutError::Invalid(..) | PutError::NoSecret(_) => Refusal::Invalid,
                    PutError::Ring(..) => Refusal::Ring,
                    PutError::Overloaded(_) => Refusal::Overloaded,
                    PutError::Closed(_) | PutError::Fenced(_) => Refusal::Stopped,
                    _ => Refusal::Other,
                };
                self.answer(call, Told::Refused(why), caller);
                self.drain(node);
            }
        }
    }

    /// Asks a node something about an endpoint or an event.
    fn command(&mut self, endpoint: u32, wish: &Wish<'_>, caller: Caller) {
        let place = &self.places[endpoint as usize];
        let (node, tenant) = (place.node, TenantId::new(format!("t{}", place.spec.tenant)).expect("a name"));
        let key = EndpointKey { tenant, id: EndpointId::new(format!("p{endpoint}")).expect("a name") };
        let clocks = self.clocks(node);
        self.calls += 1;
        let call = self.calls;
        self.see(&Seen::Asked { call, node, clocks, wish: *wish });
        let Some(process) = &mut self.nodes[node as usize].up else { return };
        let (sender, now, id) = (&mut process.sender, now(clocks), |event| self.replays.id(event));
        let change = match wish {
            Wish::Pause(_) => sender.pause(now, &key),
            Wish::Resume(_) => sender.resume(now, &key),
            Wish::Disable(_) => sender.disable(now, &key),
            Wish::Remove(_) => sender.remove(now, &key),
            Wish::AddKey(_, new) => sender.add_key(now, &key, &secret(new)),
            Wish::ExpireKey(_, old, at) => sender.expire_key(now, &key, secret(old).id(), UnixTime::from_millis(*at)),
            Wish::RevokeKey(_, old) => sender.revoke_key(now, &key, secret(old).id()),
            Wish::RotateKey(_, new, overlap) => {
                sender.rotate_key(now, &key, &secret(new), Duration::from_millis(*overlap))
            }
            Wish::FinishRotation(_) => sender.finish_rotation(now, &key),
            Wish::Cancel { event, .. } => sender.cancel(now, &key.tenant, &id(*event)),
            Wish::Purge(_) => sender.purge(now, &key.tenant),
            Wish::Erase { event, .. } => sender.erase(now, &key.tenant, &id(*event)),
            Wish::Close(drain) => {
                sender.close(now, if *drain { Close::Drain } else { Close::Now });
                return self.drain(node);
            }
            Wish::Publish(_) | Wish::Put(_) => return,
        };
        self.commanded(node, call, change, caller);
    }

    fn commanded(&mut self, node: u32, call: u64, change: Result<Change, CommandError>, caller: Caller) {
        match change {
            Ok(change) => self.await_record(node, change.seq, call, change.changed, caller),
            Err(refused) => {
                let why = match refused {
                    CommandError::UnknownEndpoint(_) | CommandError::UnknownEvent(_) => Refusal::Unknown,
                    CommandError::Ring(_) => Refusal::Ring,
                    CommandError::NotActive(_) => Refusal::State,
                    CommandError::Overloaded => Refusal::Overloaded,
                    CommandError::Closed | CommandError::Fenced => Refusal::Stopped,
                    _ => Refusal::Other,
                };
                self.answer(call, Told::Refused(why), caller);
                self.drain(node);
            }
        }
    }

    /// Operators want something, and will want the next thing some time later.
    pub(super) fn operate(&mut self) {
        if self.healed || self.places.is_empty() {
            return;
        }
        let gap = self.streams.operator.about(self.profile.operator);
        self.schedule.at(self.now.after(gap), Happening::Operate);
        let endpoint = u32::try_from(self.streams.operator.index(self.places.len())).expect("an endpoint");
        let node = &self.nodes[self.places[endpoint as usize].node as usize];
        if node.up.is_none() || node.frozen.is_some() {
            return;
        }
        let wanted = [Class::Operators, Class::Operators, Class::Removals, Class::Keys, Class::Keys, Class::Cancels];
        let class = *self.streams.operator.pick(&wanted);
        if !self.profile.classes.has(class) {
            return;
        }
        self.injected.count(class);
        match class {
            Class::Removals => self.remove_or_restore(endpoint),
            Class::Keys => self.rekey(endpoint),
            Class::Cancels => self.cancel_or_forget(),
            _ => self.change(endpoint),
        }
    }

    /// Cancels an event, or has it forgotten, or all of its tenant.
    fn cancel_or_forget(&mut self) {
        // What has just come, what may have been waiting for a while, or anything that ever came.
        let back = match self.streams.operator.below(4) {
            0 | 1 => self.streams.operator.about(4),
            2 => self.streams.operator.about(200),
            _ => self.streams.operator.below(self.next_event) + 1,
        };
        let Some(event) = self.next_event.checked_sub(back) else { return };
        let tenant = self.tenant_of_event(event);
        let Some(at) = self.places.iter().position(|place| place.spec.tenant == tenant) else { return };
        let at = u32::try_from(at).expect("an endpoint");
        let wish = match self.streams.operator.below(16) {
            0 => Wish::Purge(tenant),
            1..8 => Wish::Erase { tenant, event },
            _ => Wish::Cancel { tenant, event },
        };
        if !matches!(wish, Wish::Cancel { .. }) {
            self.forgotten.push(event);
        }
        self.command(at, &wish, self.operator(at));
    }

    /// Who asks for something about an endpoint.
    fn operator(&self, endpoint: u32) -> Caller {
        Caller::Operator { node: self.places[endpoint as usize].node }
    }

    fn change(&mut self, endpoint: u32) {
        match self.streams.operator.below(8) {
            0 => self.command(endpoint, &Wish::Disable(endpoint), self.operator(endpoint)),
            1 | 2 => self.command(endpoint, &Wish::Pause(endpoint), self.operator(endpoint)),
            3..6 => self.command(endpoint, &Wish::Resume(endpoint), self.operator(endpoint)),
            6 => {
                let spec = &mut self.places[endpoint as usize].spec;
                let rng = &mut self.streams.operator;
                (spec.patterns, spec.filter) = (draw_patterns(rng), draw_filter(rng, self.profile.gap));
                let spec = Spec { keys: Vec::new(), ..spec.clone() };
                self.put(&spec, self.operator(endpoint));
            }
            _ => {
                let concurrency = u16::try_from(self.streams.operator.between(1, 16)).expect("it is small");
                let spec = &mut self.places[endpoint as usize].spec;
                (spec.concurrency, spec.schemes) = (concurrency, draw_schemes(&mut self.streams.operator));
                if self.profile.paces && self.streams.operator.once_in(2) {
                    spec.pace = draw_pace(&mut self.streams.operator, &self.profile);
                }
                let spec = Spec { keys: Vec::new(), ..spec.clone() };
                self.put(&spec, self.operator(endpoint));
            }
        }
    }

    fn remove_or_restore(&mut self, endpoint: u32) {
        if self.streams.operator.once_in(3) {
            self.command(endpoint, &Wish::Remove(endpoint), self.operator(endpoint));
        } else {
            // A key that was revoked is gone for good with this name, so a new registration brings a new one.
            let key = self.give_key(endpoint);
            let spec = &mut self.places[endpoint as usize].spec;
            spec.keys = vec![key];
            let spec = spec.clone();
            self.put(&spec, self.operator(endpoint));
        }
    }

    fn rekey(&mut self, endpoint: u32) {
        let keys = &self.places[endpoint as usize].all_keys;
        let old = keys[keys.len() - 1 - self.streams.operator.index(keys.len().min(3))];
        match self.streams.operator.below(8) {
            0 | 1 => {
                let wall = self.clocks(self.places[endpoint as usize].node).wall;
                let at = wall + self.streams.operator.about(3_600_000);
                self.command(endpoint, &Wish::ExpireKey(endpoint, old, at), self.operator(endpoint));
            }
            2 | 3 => self.command(endpoint, &Wish::RevokeKey(endpoint, old), self.operator(endpoint)),
            4 => {
                let (key, overlap) = (self.give_key(endpoint), self.streams.operator.about(3_600_000));
                self.command(endpoint, &Wish::RotateKey(endpoint, key, overlap), self.operator(endpoint));
            }
            5 => self.command(endpoint, &Wish::FinishRotation(endpoint), self.operator(endpoint)),
            _ => {
                let key = self.give_key(endpoint);
                self.command(endpoint, &Wish::AddKey(endpoint, key), self.operator(endpoint));
            }
        }
    }

    /// A new key, which the receiver learns at once.
    fn give_key(&mut self, endpoint: u32) -> Key {
        let key = self.new_key();
        let place = &mut self.places[endpoint as usize];
        place.all_keys.push(key);
        // A ring has at most 10 keys, so older ones cannot sign any more... but one may never have expired.
        self.peers[endpoint as usize].keys(self.now, &place.all_keys);
        key
    }

    /// Closes a node; it is started again some time later.
    pub(super) fn close(&mut self, node: u32) {
        let drain = self.streams.operator.once_in(2);
        let Some(at) = self.places.iter().position(|place| place.node == node) else { return };
        let at = u32::try_from(at).expect("an endpoint");
        self.command(at, &Wish::Close(drain), self.operator(at));
    }
}

fn secret(key: &Key) -> Secret {
    Secret::from_bytes(key.secret).expect("32 bytes")
}

fn filtered(endpoint: Endpoint, filter: Filter) -> Endpoint {
    let pattern = match filter {
        Filter::Within(low, high) => format!(r#"{{"data": {{"n": [{{"numeric": [">=", {low}, "<", {high}]}}]}}}}"#),
        Filter::Not([one, other]) => format!(r#"{{"data": {{"n": [{{"anything-but": [{one}, {other}]}}]}}}}"#),
        Filter::NoNumber => r#"{"data": {"n": [{"exists": false}]}}"#.to_owned(),
        Filter::TextOr(this) => {
            format!(r#"{{"$or": [{{"data": {{"n": [{this}]}}}}, {{"data": {{"p": [{{"anything-but": ""}}]}}}}]}}"#)
        }
        Filter::TypeEnds(end) => {
            return endpoint.filter(Language::CloudEvents, format!(r#"[{{"suffix": {{"type": "{end}"}}}}]"#));
        }
    };
    endpoint.filter(Language::EventBridge, pattern)
}

fn dialect(scheme: Scheme) -> Dialect {
    match scheme {
        Scheme::Github => Dialect::Github,
        Scheme::Stripe => Dialect::Stripe,
        Scheme::Slack => Dialect::Slack,
        Scheme::Described => {
            let custom = Custom::sha256("x-sim-signature").base64().base64_keys();
            let custom = custom.id_header("x-sim-id").timestamp_header("x-sim-time");
            let custom = custom.content("{id}/{timestamp}/{url}/{body}").expect("a good description");
            Dialect::hmac(custom).expect("a good description")
        }
    }
}

fn endpoint_of(spec: &Spec) -> Endpoint {
    let port = if spec.port == 443 { String::new() } else { format!(":{}", spec.port) };
    let endpoint = Endpoint::new(format!("p{}", spec.endpoint), format!("https://{}{port}/hook", spec.host))
        .tenant(format!("t{}", spec.tenant))
        .events(&spec.patterns)
        .encoding(match spec.form {
            Form::Envelope => Encoding::Envelope,
            Form::Data => Encoding::Data,
        })
        .schedule(spec.schedule.iter().map(|nanos| Duration::from_nanos(*nanos)))
        .timeout(Duration::from_nanos(spec.timeout))
        .concurrency(spec.concurrency)
        .keep_answers(spec.keeps_answers)
        .ordering(match spec.place {
            Place::Anywhere => Ordering::None,
            Place::Skip => Ordering::SkipOnExhaust,
            Place::Strict => Ordering::Strict,
        })
        .coalesce(spec.coalesce)
        .consent(match spec.ask {
            Ask::Nobody => ConsentBy::None,
            Ask::Challenge => ConsentBy::Challenge,
            Ask::Handshake => ConsentBy::CloudEvents,
        })
        .secret_header("x-token", "canary~secret~~ of a header")
        .sign(std::iter::once(Dialect::Standard).chain(spec.schemes.iter().map(|scheme| dialect(*scheme))));
    let endpoint = paced(endpoint, &spec.pace);
    let endpoint = spec.filter.into_iter().fold(endpoint, filtered);
    spec.keys.iter().fold(endpoint, |endpoint, key| endpoint.signing_key(secret(key)))
}

fn paced(endpoint: Endpoint, pace: &Pace) -> Endpoint {
    let nanos = Duration::from_nanos;
    let endpoint = match pace.breaker {
        None => endpoint.no_breaker(),
        Some(breaker) => {
            let policy = BreakerPolicy::DEFAULT.with_rule(breaker.attempts, breaker.percent, nanos(breaker.window));
            let policy = policy.and_then(|policy| policy.with_open(nanos(breaker.open), nanos(breaker.longest)));
            endpoint.breaker(policy.expect("a policy"))
        }
    };
    let endpoint = match pace.disable {
        None => endpoint.never_disable(),
        Some((age, failures)) => endpoint.disable_after(DisableRule::new(nanos(age), failures).expect("a rule")),
    };
    let endpoint = pace.rate.into_iter().fold(endpoint, |endpoint, rate| {
        let per = match rate.nanos / SECOND {
            1 => Per::Second,
            60 => Per::Minute,
            _ => Per::Hour,
        };
        let rate = retry::Rate::new(rate.count, per).and_then(|made| made.with_burst(rate.burst));
        endpoint.rate(rate.expect("a rate"))
    });
    let endpoint = pace.queue.into_iter().fold(endpoint, |endpoint, limit| endpoint.queue_limit(nanos(limit)));
    pace.max_age.into_iter().fold(endpoint, |endpoint, age| endpoint.max_age(nanos(age)))
}

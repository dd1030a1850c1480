//! How often, how late and how much at once: the keys of an endpoint that pace it.

use std::time::Duration;

use postrider_core::registration::Endpoint;
use postrider_core::retry::{BreakerPolicy, DisableRule, Exponential, Factor, Per, QueueLimit, Rate};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ANYWHERE, Reader, Value};
use crate::suggest::unknown_key;

/// The keys that are read here.
pub(super) const KEYS: [&str; 7] = ["schedule", "max-attempts", "max-age", "rate", "breaker", "disable", "queue-limit"];

fn blank() -> Endpoint {
    Endpoint::new("unnamed", ANYWHERE)
}

impl Reader<'_> {
    /// The endpoint with one of these keys.
    pub(super) fn pace(&mut self, endpoint: Endpoint, name: &str, value: &Value<'_>) -> Endpoint {
        let faults = self.faults.len();
        let paced = match name {
            "schedule" => self.schedule(&endpoint, value),
            "max-attempts" => self.number(name, value).map(|attempts| {
                self.probe(name, value, &blank().max_attempts(attempts));
                endpoint.clone().max_attempts(attempts)
            }),
            "max-age" => self.time(name, value).map(|age| {
                self.probe(name, value, &blank().max_age(age));
                endpoint.clone().max_age(age)
            }),
            "rate" => self.rate(value).map(|rate| endpoint.clone().rate(rate)),
            "breaker" => match value.get_ref().as_str() {
                Some("none") => Some(endpoint.clone().no_breaker()),
                _ => self.breaker(value).map(|policy| endpoint.clone().breaker(policy)),
            },
            "disable" => match value.get_ref().as_str() {
                Some("never") => Some(endpoint.clone().never_disable()),
                _ => self.disable(value).map(|rule| endpoint.clone().disable_after(rule)),
            },
            _ => self.time(name, value).map(|limit| {
                if let Err(why) = QueueLimit::new(limit) {
                    self.fault(value.span(), Some(name), why.to_string());
                }
                endpoint.clone().queue_limit(limit)
            }),
        };
        paced.filter(|_| self.faults.len() == faults).unwrap_or(endpoint)
    }

    /// A list of delays, one attempt, or delays that grow.
    fn schedule(&mut self, endpoint: &Endpoint, value: &Value<'_>) -> Option<Endpoint> {
        if let Some(text) = value.get_ref().as_str() {
            if text == "none" {
                return Some(endpoint.clone().once());
            }
            let what = "there is no such schedule; write a list like [\"0s\", \"5m\"], \"none\" for one attempt, or \
                        { exponential = { base = \"30s\", cap = \"2h\", attempts = 10 } }";
            self.fault(value.span(), Some("schedule"), what);
            return None;
        }
        if let Some(table) = value.get_ref().as_table() {
            self.known("schedule", table, &["exponential"]);
            let inner = self.needed("schedule", value, table, "exponential")?;
            let of = self.exponential(inner)?;
            self.probe("schedule.exponential", inner, &blank().exponential(of));
            return Some(endpoint.clone().exponential(of));
        }
        let texts = self.list("schedule", value, |_| blank());
        let delays: Vec<_> = texts.into_iter().filter_map(|text| self.duration("schedule", value, text)).collect();
        self.probe("schedule", value, &blank().schedule(delays.iter().copied()));
        Some(endpoint.clone().schedule(delays))
    }

    fn exponential(&mut self, value: &Value<'_>) -> Option<Exponential> {
        const KEY: &str = "schedule.exponential";
        let table = self.table(KEY, value, "{ base = \"30s\", cap = \"2h\", attempts = 10 }")?;
        self.known(KEY, table, &["base", "factor", "cap", "attempts"]);
        let base = self.needed(KEY, value, table, "base").and_then(|value| self.time(&under(KEY, "base"), value));
        let cap = self.needed(KEY, value, table, "cap").and_then(|value| self.time(&under(KEY, "cap"), value));
        let attempts = self.needed(KEY, value, table, "attempts");
        let attempts = attempts.and_then(|value| self.number(&under(KEY, "attempts"), value));
        let factor = match table.get("factor") {
            Some(value) => self.factor(value),
            None => Some(Factor::DOUBLE),
        };
        Some(Exponential { base: base?, factor: factor?, cap: cap?, attempts: attempts? })
    }

    /// A whole number, or one with a few digits behind the point.
    fn factor(&mut self, value: &Value<'_>) -> Option<Factor> {
        let text = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
            DeValue::Float(number) => Some(number.as_str()),
            _ => None,
        };
        let ratio = text.and_then(|text| {
            let (whole, part) = text.split_once('.').unwrap_or((text, ""));
            let below = 10u32.checked_pow(u32::try_from(part.len()).ok()?)?;
            Some((format!("{whole}{part}").parse::<u32>().ok()?, below))
        });
        let key = Some("schedule.exponential.factor");
        match ratio.map(|(above, below)| Factor::new(above, below)) {
            Some(Ok(factor)) => return Some(factor),
            Some(Err(why)) => self.fault(value.span(), key, why.to_string()),
            None => self.fault(value.span(), key, "this is not a number like 2 or 1.5"),
        }
        None
    }

    fn rate(&mut self, value: &Value<'_>) -> Option<Rate> {
        const UNITS: [(&str, Per); 3] =
            [("per-second", Per::Second), ("per-minute", Per::Minute), ("per-hour", Per::Hour)];
        let table = self.table("rate", value, "{ per-second = 10, burst = 20 }")?;
        self.known("rate", table, &["per-second", "per-minute", "per-hour", "burst"]);
        let mut units = UNITS.iter().filter_map(|(name, per)| Some((*name, *per, table.get(*name)?)));
        let (Some((name, per, count)), None) = (units.next(), units.next()) else {
            self.fault(value.span(), Some("rate"), "it needs one of per-second, per-minute and per-hour");
            return None;
        };
        let key = under("rate", name);
        let rate = Rate::new(self.number(&key, count)?, per);
        let rate = rate.map_err(|why| self.fault(count.span(), Some(&key), why.to_string())).ok()?;
        let Some(burst) = table.get("burst") else { return Some(rate) };
        let rate = rate.with_burst(self.number("rate.burst", burst)?);
        rate.map_err(|why| self.fault(burst.span(), Some("rate.burst"), why.to_string())).ok()
    }

    fn breaker(&mut self, value: &Value<'_>) -> Option<BreakerPolicy> {
        const USUAL: BreakerPolicy = BreakerPolicy::DEFAULT;
        let table = self.table("breaker", value, "{ attempts = 10, percent = 70, window = \"5m\" }, or \"none\"")?;
        self.known("breaker", table, &["attempts", "percent", "window", "open", "longest"]);
        let attempts = self.number_or("breaker", table, "attempts", USUAL.attempts())?;
        let percent = self.number_or("breaker", table, "percent", USUAL.percent())?;
        let window = self.time_or("breaker", table, "window", USUAL.window())?;
        let open = self.time_or("breaker", table, "open", USUAL.open())?;
        let longest = self.time_or("breaker", table, "longest", USUAL.longest().max(open))?;
        let policy = USUAL.with_rule(attempts, percent, window).and_then(|policy| policy.with_open(open, longest));
        policy.map_err(|why| self.fault(value.span(), Some("breaker"), why.to_string())).ok()
    }

    fn disable(&mut self, value: &Value<'_>) -> Option<DisableRule> {
        const USUAL: DisableRule = DisableRule::DEFAULT;
        let table = self.table("disable", value, "{ after = \"120h\", failures = 5 }, or \"never\"")?;
        self.known("disable", table, &["after", "failures"]);
        let age = self.time_or("disable", table, "after", USUAL.age())?;
        let failures = self.number_or("disable", table, "failures", USUAL.failures())?;
        let rule = DisableRule::new(age, failures);
        rule.map_err(|why| self.fault(value.span(), Some("disable"), why.to_string())).ok()
    }

    fn table<'v, 'i>(&mut self, key: &str, value: &'v Value<'i>, like: &str) -> Option<&'v DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.fault(value.span(), Some(key), format!("this is not a table; write {like}"));
        }
        table
    }

    /// Refuses keys of a table that are not known.
    fn known(&mut self, key: &str, table: &DeTable<'_>, known: &[&str]) {
        for (name, _) in table.iter().filter(|(name, _)| !known.contains(&name.get_ref().as_ref())) {
            let what = unknown_key(name.get_ref(), known);
            self.fault(name.span(), Some(&under(key, name.get_ref())), what);
        }
    }

    fn needed<'v, 'i>(
        &mut self,
        key: &str,
        whole: &Value<'_>,
        table: &'v DeTable<'i>,
        name: &str,
    ) -> Option<&'v Spanned<DeValue<'i>>> {
        let value = table.get(name);
        if value.is_none() {
            self.fault(whole.span(), Some(&under(key, name)), "it is missing");
        }
        value
    }

    fn number_or<T: TryFrom<u64>>(&mut self, key: &str, table: &DeTable<'_>, name: &str, usual: T) -> Option<T> {
        match table.get(name) {
            Some(value) => self.number(&under(key, name), value),
            None => Some(usual),
        }
    }

    fn time_or(&mut self, key: &str, table: &DeTable<'_>, name: &str, usual: Duration) -> Option<Duration> {
        match table.get(name) {
            Some(value) => self.time(&under(key, name), value),
            None => Some(usual),
        }
    }

    fn number<T: TryFrom<u64>>(&mut self, key: &str, value: &Value<'_>) -> Option<T> {
        let number = value.get_ref().as_integer();
        let parsed = number.and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
        let fits = parsed.and_then(|number| T::try_from(number).ok());
        if fits.is_none() {
            self.fault(value.span(), Some(key), "this is not a whole number, or too large");
        }
        fits
    }

    fn time(&mut self, key: &str, value: &Value<'_>) -> Option<Duration> {
        let text = self.strings(key, value, |_| blank())?;
        self.duration(key, value, text)
    }
}

fn under(key: &str, name: &str) -> String {
    format!("{key}.{name}")
}

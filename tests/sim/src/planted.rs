//! Bugs that were planted, to prove that the judges find them.
//!
//! Each is a line in the core or in the journal, behind `--cfg postrider_planted` and a number that is switched on at
//! run time. `postrider-sim planted` builds itself once more with them, in a target directory of its own, lets seeds
//! run with one of them at a time until a promise is broken, and says which seed found which.

use std::process::{Command, ExitCode};

/// A planted bug.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// Its number in `postrider_core::planted`.
    pub number: u8,
    /// What is wrong with it on.
    pub what: &'static str,
    /// Which judge finds it: the file of the model, `world` for the checks that know the machine, or `inbound` for the worlds
    /// of the receiving machine.
    pub judge: &'static str,
}

const fn bug(number: u8, what: &'static str, judge: &'static str) -> Bug {
    Bug { number, what, judge }
}

/// All planted bugs that the simulator must find. Numbers 2, 3, 6, 7, 8 and 10 break laws that show to a driver and to
/// no user; `cargo run -p postrider-tests --bin lawbreak` proves that those are found.
pub const BUGS: &[Bug] = &[
    bug(1, "a delivery that its endpoint cannot take at once is forgotten", "ledger"),
    bug(4, "one attempt more than the adapter can carry", "pacing"),
    bug(5, "a retry comes after three quarters of its delay", "pacing"),
    bug(9, "nobody goes on when an attempt ends", "ledger"),
    bug(11, "due times follow the wall clock", "pacing"),
    bug(12, "one key of the ring does not sign", "keys"),
    bug(13, "an attempt frees two slots of its endpoint", "pacing"),
    bug(14, "one attempt more than the schedule has", "order"),
    bug(15, "a delivery whose payload was read back is not woken", "ledger"),
    bug(16, "a batch that could not be written is not written again", "world"),
    bug(17, "a late answer counts although the next attempt is under way", "ledger"),
    bug(18, "a retry bears the timestamp of the event", "keys"),
    bug(19, "the address that is dialled is not checked", "addresses"),
    bug(20, "a snapshot forgets what is due in more than a minute", "ledger"),
    bug(22, "a snapshot forgets events whose fan-out goes on", "ledger"),
    bug(23, "a cancellation is forgotten at a restart", "ledger"),
    bug(24, "`Retry-After` is ignored", "pacing"),
    bug(25, "a revoked key goes on signing", "keys"),
    bug(26, "what waits for a disabled endpoint is discarded too early", "pacing"),
    bug(27, "repeats are not recognised after a restart", "repeats"),
    bug(28, "an event ends while an attempt is under way", "ledger"),
    bug(29, "attempts are counted anew after a restart", "order"),
    bug(30, "an expired event is sent", "ledger"),
    bug(31, "everything is due at once after a restart", "pacing"),
    bug(32, "a throttled endpoint is not spared", "pacing"),
    bug(33, "a resumed endpoint gets everything at once", "pacing"),
    bug(34, "one attempt more than an endpoint wants at once", "pacing"),
    bug(35, "another content under the same id is taken for a repeat", "repeats"),
    bug(36, "the body in one encoding is sent as the other", "ledger"),
    bug(37, "an endpoint gets what only its earlier wishes match", "ledger"),
    bug(38, "what waits for an endpoint's earlier wishes is forgotten when these change", "ledger"),
    bug(39, "what waits for a paused endpoint is discarded", "ledger"),
    bug(40, "delays are half as long again", "pacing"),
    bug(41, "a secret shows itself", "world"),
    bug(42, "a retry comes a hundred times too late", "ledger"),
    bug(43, "an endpoint that answered 410 gets more", "pacing"),
    bug(44, "a rate is there in full after a restart", "rates"),
    bug(45, "a breaker drops what it holds", "ledger"),
    bug(46, "more than one probe goes out at once", "circuits"),
    bug(47, "one attempt more than a tenant may have", "rates"),
    bug(48, "one attempt more than a host may have", "rates"),
    bug(49, "an endpoint is disabled in half the time", "circuits"),
    bug(50, "no delivery has waited for too long", "rates"),
    bug(51, "no delivery is too old", "rates"),
    bug(52, "a lane is not blocked by its head", "lanes"),
    bug(53, "a lane's order is turned round by a restart", "lanes"),
    bug(54, "an event goes past filters when its fan-out goes on after a restart", "ledger"),
    bug(55, "a retry is signed by Standard Webhooks alone, whatever its endpoint wants", "keys"),
    bug(56, "a node tells of what it told", "operational"),
    bug(57, "what came last is superseded too", "lanes"),
    bug(58, "what is sent again does not say so once its payload was read back", "replays"),
    bug(59, "a status of 2xx is taken for consent", "consent"),
    bug(60, "records are acknowledged before they are synced", "world"),
    bug(61, "the directory is not synced after a segment was made", "world"),
    bug(62, "damage inside of the log is taken for a torn tail", "world"),
    bug(63, "a sync that failed is tried again", "world"),
    bug(64, "batches are replayed twice", "world"),
    bug(65, "an event's payload is given up with its first outcome", "ledger"),
    bug(66, "what was read at a start is not made durable", "world"),
    bug(67, "a snapshot is named before it is synced", "world"),
    bug(68, "a payload that is read back lacks its last byte", "ledger"),
    bug(69, "the next segment goes on from what was never synced", "world"),
    bug(70, "an index of history names a segment that is gone", "recalled"),
    bug(71, "trimming takes an event that is pending", "ledger"),
    bug(72, "what was erased is told again after a restart", "recalled"),
    bug(73, "a purge passes the newest events over", "recalled"),
    bug(74, "what sends an erased event again can still be read", "recalled"),
    bug(80, "a finished rotation lets the old keys go on signing", "keys"),
    bug(81, "what sends an erased event again is sent all the same", "ledger"),
    bug(82, "a receiver tells the store of claims nothing", "inbound"),
    bug(83, "a receiver delivers whatever the store of claims says", "inbound"),
    bug(84, "what the application wants again is answered as done", "inbound"),
    bug(85, "a gap in a line is not told", "inbound"),
    bug(86, "what was held for too long is forgotten", "inbound"),
    bug(87, "two of a line are delivered at a time", "inbound"),
    bug(88, "what was signed is not looked at where an id is sent", "inbound"),
    bug(89, "what has ended is delivered again", "inbound"),
];

/// Builds this program with the bugs in it and runs it with the same arguments.
pub fn build(arguments: impl Iterator<Item = String>) -> ExitCode {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--release", "-p", "postrider-sim", "--target-dir", "target/planted-sim", "--"])
        .args(arguments)
        .current_dir(root)
        .env("RUSTFLAGS", "--cfg postrider_planted")
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo cannot be run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Lets at most `seeds` seeds run with each of these bugs (all, if none is named) and says which seed found which. A seed
/// that fails without any is no evidence, and is told. Fails if a bug was not found or a seed failed so.
#[cfg(postrider_planted)]
pub fn prove(seeds: u64, hours: u64, only: &[u8]) -> ExitCode {
    use std::collections::BTreeSet;

    use crate::profile::Scale;

    let scale = Scale::hours(hours);
    let mut sick = BTreeSet::new();
    let (mut tried, mut missed) = (0, 0);
    for Bug { number, what, judge } in BUGS.iter().filter(|bug| only.is_empty() || only.contains(&bug.number)) {
        let begun = std::time::Instant::now();
        let found = loop {
            postrider_core::planted::set(*number);
            let inbound = *judge == "inbound";
            let found = search(seeds, &scale, &sick, inbound);
            postrider_core::planted::set(0);
            let Some((seed, how)) = found else { break None };
            match broken(seed, &scale, inbound) {
                Some(alone) => {
                    println!("   seed {seed} fails without any of them: {alone}");
                    sick.insert(seed);
                }
                None => break Some((seed, how)),
            }
        };
        tried += 1;
        missed += usize::from(found.is_none());
        let secs = begun.elapsed().as_secs_f64();
        match found {
            Some((seed, how)) => println!("{number:>2} {what} ({judge}): seed {seed}, {secs:.1} s: {how}"),
            None => println!("{number:>2} {what} ({judge}): NOT FOUND in {seeds} seeds, {secs:.1} s"),
        }
    }
    println!("{tried} planted bugs, {missed} not found; {} seeds fail by themselves", sick.len());
    if missed == 0 && sick.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a seed breaks with what is switched on.
#[cfg(postrider_planted)]
fn broken(seed: u64, scale: &crate::profile::Scale, inbound: bool) -> Option<String> {
    use crate::world::{Cast, World};

    if inbound {
        return crate::inbound::tried(seed).1.map(|how| how.chars().take(200).collect());
    }
    let (at, broken) = World::new(seed, scale, Cast::usual()).run().broken?;
    let how: String = format!("{broken}, at {at}").chars().take(200).collect();
    Some(how.replace('\n', " "))
}

/// Without the bugs there is nothing to prove.
#[cfg(not(postrider_planted))]
pub fn prove(_seeds: u64, _hours: u64, _only: &[u8]) -> ExitCode {
    ExitCode::FAILURE
}

/// The lowest seed that finds something, and what; seeds run side by side, without those that prove nothing.
#[cfg(postrider_planted)]
fn search(
    seeds: u64,
    scale: &crate::profile::Scale,
    without: &std::collections::BTreeSet<u64>,
    inbound: bool,
) -> Option<(u64, String)> {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    let (next, found) = (AtomicU64::new(0), Mutex::new(None::<(u64, String)>));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let lowest = || found.lock().expect("nobody panics while holding it").as_ref().map_or(seeds, |(seed, _)| *seed);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= lowest() {
                        return;
                    }
                    if !without.contains(&seed)
                        && let Some(how) = broken(seed, scale, inbound)
                        && seed < lowest()
                    {
                        *found.lock().expect("nobody panics while holding it") = Some((seed, how));
                    }
                }
            });
        }
    });
    found.into_inner().expect("nobody panics while holding it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_a_number_of_its_own_and_a_place() {
        assert!(BUGS.len() >= 24);
        assert!(BUGS.is_sorted_by(|one, next| one.number < next.number));
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text: String = ["core/src", "adapters/journal/src"].iter().map(|at| read(&root.join(at))).collect();
        for Bug { number, what, .. } in BUGS {
            assert!(text.contains(&format!("planted::breaks({number})")), "{number} {what}");
        }
    }

    fn read(at: &std::path::Path) -> String {
        let entries = std::fs::read_dir(at).expect("a folder of the source");
        let paths = entries.map(|entry| entry.expect("it can be read").path());
        let texts = paths.map(|path| match path.is_dir() {
            true => read(&path),
            false => std::fs::read_to_string(&path).unwrap_or_default(),
        });
        texts.collect()
    }
}

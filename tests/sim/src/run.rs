//! Many seeds side by side, and what came of them.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::observe::SECOND;
use crate::profile::{Class, Classes, Injected, Scale};
use crate::world::{Cast, Counts, Verdict, World};

/// One in so many seeds is run again in another process, which must come to the same hash.
pub const REPLAYED: u64 = 16;

/// Which seeds to run, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// How large.
    pub scale: Scale,
    /// Threads; 0 for as many as there are cores.
    pub threads: usize,
    /// Go on after a failure.
    pub keep_going: bool,
    /// Show a bar.
    pub progress: bool,
    /// Replay one in [`REPLAYED`] seeds in another process: the program that does it.
    pub replay: Option<std::path::PathBuf>,
}

/// What came of them.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds that were run again in another process and came to the same hash.
    pub replayed: u64,
    /// Seeds that broke something, or did not come to the same hash twice.
    pub failures: Vec<Failure>,
    /// Seconds that passed in all worlds together.
    pub simulated: f64,
    /// What was counted.
    pub counts: Counts,
    /// What was injected.
    pub injected: Injected,
    /// Time that passed here.
    pub took: Duration,
    /// CPU time of all threads, where it is the time that they ran.
    pub busy: Duration,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// What was wrong.
    pub what: String,
}

/// Runs seeds side by side.
pub fn run(plan: &Plan, cast: impl Fn() -> Cast + Sync) -> Summary {
    let threads = match plan.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        some => some,
    };
    let bar = if plan.progress { ProgressBar::new(plan.seeds) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:40} {pos}/{len} seeds, {eta} left {msg}");
    bar.set_style(style.expect("a sound template"));
    let begun = Instant::now();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= plan.seeds || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let begun = cpu_time();
                    let verdict = World::new(plan.first + at, &plan.scale, cast()).run();
                    let busy = cpu_time().saturating_sub(begun);
                    let replayed = replay(plan, &verdict);
                    let mut summary = summary.lock().expect("nobody panics while holding it");
                    summary.take(&verdict, busy, replayed);
                    stop.fetch_or(!plan.keep_going && !summary.failures.is_empty(), Ordering::Relaxed);
                    bar.set_message(format!("{} failed", summary.failures.len()));
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut summary = summary.into_inner().expect("nobody panics while holding it");
    summary.took = begun.elapsed();
    summary.failures.sort_by_key(|failure| failure.seed);
    summary
}

/// How long this thread has had a core; where the system does not say, how much time has passed.
fn cpu_time() -> Duration {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = said.and_then(|text| text.split_ascii_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| BEGUN.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

/// Runs a seed again in another process; whether that was done, and what was wrong about it.
fn replay(plan: &Plan, verdict: &Verdict) -> Option<Result<(), String>> {
    let program = plan.replay.as_ref().filter(|_| verdict.seed.is_multiple_of(REPLAYED))?;
    let output = Command::new(program).arg("hash").args(arguments(verdict.seed, &plan.scale)).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return Some(Err(format!("the seed cannot be run again: {error}"))),
    };
    let (said, expected) = (String::from_utf8_lossy(&output.stdout), format!("{:032x}", verdict.hash));
    let same = said.trim() == expected;
    Some(if same { Ok(()) } else { Err(format!("another process comes to {}, this one to {expected}", said.trim())) })
}

/// The arguments that name a seed and its scale.
pub fn arguments(seed: u64, scale: &Scale) -> Vec<String> {
    let mut arguments = vec!["--seed".to_owned(), seed.to_string(), "--hours".to_owned(), scale.hours.to_string()];
    let cut: Vec<_> = Class::ALL.iter().filter(|class| !scale.allowed.has(**class)).map(|class| class.name()).collect();
    if !cut.is_empty() {
        arguments.extend(["--cut".to_owned(), cut.join(",")]);
    }
    if scale.events != u64::MAX {
        arguments.extend(["--events".to_owned(), scale.events.to_string()]);
    }
    if let Some(gap) = scale.gap {
        arguments.extend(["--gap-ms".to_owned(), (gap / 1_000_000).to_string()]);
    }
    if scale.calm {
        arguments.extend(["--profile".to_owned(), "calm".to_owned()]);
    }
    arguments
}

impl Summary {
    fn take(&mut self, verdict: &Verdict, busy: Duration, replayed: Option<Result<(), String>>) {
        self.seeds += 1;
        self.busy += busy;
        self.simulated += Duration::from_nanos(verdict.simulated.0).as_secs_f64();
        self.counts.merge(&verdict.counts);
        self.injected.merge(&verdict.injected);
        if let Some((at, broken)) = &verdict.broken {
            self.failures.push(Failure { seed: verdict.seed, what: format!("at {at}: {broken}") });
        }
        match replayed {
            Some(Ok(())) => self.replayed += 1,
            Some(Err(what)) => {
                self.failures.push(Failure { seed: verdict.seed, what: format!("invariant 15: {what}") })
            }
            None => {}
        }
    }

    /// The summary for people, with the totals in its last line.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let busy = self.busy.as_secs_f64().max(1e-9);
        let injected: Vec<_> = self.injected.iter().filter(|(_, count)| *count > 0).collect();
        let faults: u64 = injected.iter().map(|(_, count)| count).sum();
        let shown: Vec<_> = injected.iter().map(|(class, count)| format!("{class} {count}")).collect();
        let counts = &self.counts;
        writeln!(text, "injected: {}", shown.join(", ")).expect("text can be written");
        writeln!(
            text,
            "{} events accepted and {} replays, {} attempts, {} arrived, {} restarts that read {} records",
            counts.accepted, counts.replayed, counts.attempts, counts.arrived, counts.restarts, counts.recovered
        )
        .expect("text can be written");
        writeln!(
            text,
            "{:.2} M simulator events, {:.2} M effects, {:.2} M observations; {:.2} M events and {:.0} k attempts \
             a CPU second, {:.1} simulated hours a CPU second",
            counts.events as f64 / 1e6,
            counts.effects as f64 / 1e6,
            counts.observed as f64 / 1e6,
            counts.events as f64 / 1e6 / busy,
            counts.attempts as f64 / 1e3 / busy,
            self.simulated / 3600.0 / busy,
        )
        .expect("text can be written");
        write!(
            text,
            "{} seeds, {:.2} simulated years, {faults} faults, {} replayed alike, {} failed, in {:.1} s",
            self.seeds,
            self.simulated / 31_557_600.0,
            self.replayed,
            self.failures.len(),
            self.took.as_secs_f64()
        )
        .expect("text can be written");
        text
    }
}

/// Cuts what a failing seed does not need to fail: kinds of fault first, then events and hours. Fails the same way
/// means that the same invariant is broken.
pub fn shrink(seed: u64, scale: &Scale, cast: impl Fn() -> Cast) -> Scale {
    let law = |scale: &Scale| World::new(seed, scale, cast()).run().broken.map(|(_, broken)| broken.law);
    let Some(wanted) = law(scale) else { return *scale };
    let mut best = *scale;
    for class in Class::ALL {
        let fewer = Scale { allowed: best.allowed.without(*class), ..best };
        if law(&fewer) == Some(wanted) {
            best = fewer;
        }
    }
    for events in [1, 2, 4, 8, 16, 64, 256, 1024, 4096] {
        let fewer = Scale { events, ..best };
        if events < best.events && law(&fewer) == Some(wanted) {
            best = fewer;
            break;
        }
    }
    for hours in [1, 2, 4, 8, 16] {
        let shorter = Scale { hours, ..best };
        if hours < best.hours && law(&shorter) == Some(wanted) {
            best = shorter;
            break;
        }
    }
    best
}

/// A failing seed for people: what is broken, what it takes, the last that happened, and how to see it again.
pub fn explain(seed: u64, scale: &Scale, cast: impl Fn() -> Cast) -> String {
    let verdict = World::new(seed, scale, Cast { readable: true, ..cast() }).run();
    let mut text = verdict.tail.join("\n");
    match &verdict.broken {
        Some((at, broken)) => write!(text, "\n\nseed {seed} fails at {at}: {broken}\n"),
        None => write!(text, "\n\nseed {seed} holds, at {}\n", verdict.simulated),
    }
    .expect("text can be written");
    let drawn = crate::profile::Profile::draw(seed, scale);
    let classes: Vec<_> = drawn.classes.iter().map(Class::name).collect();
    writeln!(text, "with {}", if classes.is_empty() { "no fault at all".to_owned() } else { classes.join(", ") })
        .expect("text can be written");
    write!(text, "again: cargo run --release -p postrider-sim -- run {}", arguments(seed, scale).join(" "))
        .expect("text can be written");
    text
}

/// The classes left when those named are cut.
pub fn cut(names: &[String]) -> Result<Classes, String> {
    names.iter().try_fold(Classes::ALL, |left, name| {
        let class = Class::ALL.iter().find(|class| class.name() == name.as_str());
        class.map(|class| left.without(*class)).ok_or_else(|| format!("there is no kind of fault named {name}"))
    })
}

/// The time between two events in nanoseconds.
pub fn gap(millis: Option<u64>) -> Option<u64> {
    millis.map(|millis| millis * (SECOND / 1000))
}

//! The simulator's command.

use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand, ValueEnum};
use postrider_sim::crash::{self, Effort};
use postrider_sim::inbound;
use postrider_sim::journal::Journals;
use postrider_sim::planted;
use postrider_sim::profile::Scale;
use postrider_sim::run::{self, Plan};
use postrider_sim::world::{Cast, World};

/// A world makes and drops small things all the time, and several worlds run side by side: the system's allocator takes
/// a fifth of the time for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs Postrider's real machine and journal in made-up worlds, one for each seed.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs seeds side by side; with --seed, that one alone, with a readable trace if it fails.
    Run(Run),
    /// Crashes short stories after every operation of the disk, in every way, and once more within the recovery.
    Crash {
        /// Try a few ways only.
        #[arg(long)]
        short: bool,
    },
    /// Prints the hash of a seed's trace.
    Hash(Seed),
    /// Runs the receiving machine in worlds of its own, one for each seed.
    Inbound(Inbound),
    /// Builds itself once more with planted bugs, and says which seed finds which.
    Planted(Planted),
}

#[derive(Debug, Args)]
struct Inbound {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// This seed alone, with the end of its story.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
struct Planted {
    /// Seeds that each bug is given, at most.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// Hours of each seed.
    #[arg(long, default_value_t = 6)]
    hours: u64,
    /// Only the bugs of these numbers, with commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<u8>,
}

#[derive(Debug, Args)]
struct Run {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// This seed alone.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    size: Size,
    /// Threads, instead of one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Run all seeds even if some fail.
    #[arg(long)]
    keep_going: bool,
    /// With --seed: print the end of the trace even if nothing fails, and do not shrink.
    #[arg(long)]
    trace: bool,
    /// With --trace: print instead every line of the whole trace that has one of these words in it, with commas.
    #[arg(long, value_delimiter = ',', requires = "trace")]
    about: Vec<String>,
    /// Run no seed twice.
    #[arg(long)]
    no_replay: bool,
}

#[derive(Debug, Args)]
struct Seed {
    /// Which.
    #[arg(long)]
    seed: u64,
    #[command(flatten)]
    size: Size,
}

#[derive(Debug, Args)]
struct Size {
    /// Hours of faults and healing; what is left to do then comes on top.
    #[arg(long, default_value_t = 24)]
    hours: u64,
    /// Kinds of fault that do not exist, with commas.
    #[arg(long, value_delimiter = ',')]
    cut: Vec<String>,
    /// No more new events than this.
    #[arg(long)]
    events: Option<u64>,
    /// Milliseconds between two events, in the mean, instead of what the seed draws.
    #[arg(long)]
    gap_ms: Option<u64>,
    /// What happens in a world.
    #[arg(long, value_enum, default_value_t = Kind::Drawn)]
    profile: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// What the seed draws.
    Drawn,
    /// One event a second to one endpoint, and nothing is ever wrong.
    Calm,
}

impl Size {
    fn scale(&self) -> Result<Scale, String> {
        Ok(Scale {
            hours: self.hours,
            allowed: run::cut(&self.cut)?,
            events: self.events.unwrap_or(u64::MAX),
            gap: run::gap(self.gap_ms),
            calm: self.profile == Kind::Calm,
        })
    }
}

fn main() -> ExitCode {
    keep_pages();
    // A panic within a world is a finding, which is told with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let done = match Cli::parse().command {
        Command::Run(options) => run(&options),
        Command::Crash { short } => crash(if short { Effort::SHORT } else { Effort::ALL }),
        Command::Inbound(options) => Ok(inbound(&options)),
        Command::Planted(_) if !cfg!(postrider_planted) => return planted::build(std::env::args().skip(1)),
        Command::Planted(options) => return planted::prove(options.seeds, options.hours, &options.only),
        Command::Hash(options) => options.size.scale().map(|scale| {
            println!("{:032x}", World::new(options.seed, &scale, Cast::usual()).run().hash);
            true
        }),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Lets the allocator keep what a world has given back for the next one, instead of having the system clear its pages
/// again: it reads its settings before this program begins, so the program begins once more.
fn keep_pages() {
    #[cfg(unix)]
    if std::env::var_os(PURGE_DELAY).is_none() {
        use std::os::unix::process::CommandExt as _;
        let again = std::env::current_exe().map(|program| {
            // It comes back only if it fails, and then everything goes on as it is.
            std::process::Command::new(program).args(std::env::args_os().skip(1)).env(PURGE_DELAY, "-1").exec()
        });
        drop(again);
    }
}

/// Milliseconds after which the allocator gives pages back; -1 for never.
#[cfg(unix)]
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";

fn crash(effort: Effort) -> Result<bool, String> {
    let begun = Instant::now();
    let tried = crash::run(effort, || Box::new(Journals))?;
    println!(
        "{} stories, crashes after {} operations ({} with more pending than can be tried in every part), {} recoveries, \
         {} second crashes within them, nothing lost, in {:.1} s",
        tried.stories,
        tried.operations,
        tried.sampled,
        tried.recoveries,
        tried.second,
        begun.elapsed().as_secs_f64()
    );
    Ok(true)
}

fn inbound(options: &Inbound) -> bool {
    if let Some(seed) = options.seed {
        println!("{:#?}", inbound::Setting::draw(seed));
        let verdict = inbound::run(seed);
        verdict.story.iter().for_each(|line| println!("{line}"));
        match &verdict.broken {
            Some((at, what)) => println!("seed {seed}, at {at}: {what}"),
            None => println!("seed {seed} holds: {}", verdict.counts),
        }
        return verdict.broken.is_none();
    }
    let begun = Instant::now();
    let summary = inbound::run_all(options.first, options.seeds);
    for (seed, what) in &summary.failures {
        println!("seed {seed}: {what}");
    }
    println!(
        "{} seeds, {} failed; {}; in {:.1} s",
        options.seeds,
        summary.failures.len(),
        summary.counts,
        begun.elapsed().as_secs_f64()
    );
    summary.failures.is_empty()
}

fn run(options: &Run) -> Result<bool, String> {
    let scale = options.size.scale()?;
    if let Some(seed) = options.seed {
        let fails = World::new(seed, &scale, Cast::usual()).run().broken.is_some();
        if fails || options.trace {
            let scale = if options.trace { scale } else { run::shrink(seed, &scale, Cast::usual) };
            println!("{}", run::explain(seed, &scale, || Cast { about: options.about.clone(), ..Cast::usual() }));
        } else {
            println!("seed {seed} holds");
        }
        return Ok(!fails);
    }
    let plan = Plan {
        first: options.first,
        seeds: options.seeds,
        scale,
        threads: options.threads,
        keep_going: options.keep_going,
        progress: true,
        replay: if options.no_replay { None } else { std::env::current_exe().ok() },
    };
    let summary = run::run(&plan, Cast::usual);
    if let Some(first) = summary.failures.first() {
        let small = run::shrink(first.seed, &scale, Cast::usual);
        println!("{}\n", run::explain(first.seed, &small, Cast::usual));
    }
    for failure in &summary.failures {
        println!("seed {}: {}", failure.seed, failure.what);
    }
    println!("{}", summary.text());
    Ok(summary.failures.is_empty())
}

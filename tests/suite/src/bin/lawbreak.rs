//! Proves that the properties of the laws find what they are for.
//!
//! `cargo run -p postrider-tests --bin lawbreak` builds itself once more with one deliberate break for each law in the
//! core, in a target directory of its own, switches them on one after the other, and runs that law's property. It prints
//! a line for each law with the break that was found and the input that it was shrunk to, and fails if one was not found.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    if cfg!(postrider_planted) { prove() } else { build() }
}

/// Builds and runs this program with the breaks in it.
fn build() -> ExitCode {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_string());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "-p", "postrider-tests", "--bin", "lawbreak", "--target-dir", "target/planted"])
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

#[cfg(not(postrider_planted))]
fn prove() -> ExitCode {
    ExitCode::FAILURE
}

/// Cases tried for each law before it counts as not found.
#[cfg(postrider_planted)]
const CASES: u32 = 5000;

#[cfg(postrider_planted)]
fn prove() -> ExitCode {
    use postrider_testkit::harness::Law;

    // Panics are found too; they are told with the rest.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = 0;
    for (number, law) in (1..).zip(Law::ALL.into_iter().take(10)) {
        postrider_core::planted::set(number);
        let found = break_law(law);
        postrider_core::planted::set(0);
        match found {
            Some(text) => println!("L{number} {law:?}: found. {text}"),
            None => {
                missed += 1;
                println!("L{number} {law:?}: NOT FOUND in {CASES} cases");
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the property of a law; gives what it found, and with what input.
#[cfg(postrider_planted)]
fn break_law(law: postrider_testkit::harness::Law) -> Option<String> {
    use postrider_testkit::{laws, ops};
    use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

    let config = Config { cases: CASES, max_shrink_iters: 20_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let found = runner.run(&(ops::setup(), ops::ops_with_close(60)), |(setup, ops)| {
        laws::check(law, &setup, &ops).map_err(|violation| TestCaseError::fail(violation.to_string()))
    });
    match found {
        Ok(()) => None,
        Err(TestError::Fail(why, (setup, ops))) => {
            let limits = setup.limits;
            let (why, credit) = (why.message().to_string(), setup.credit);
            let first: String = why.chars().take(300).collect();
            Some(format!(
                "{} | credit {credit}, pending {}, resident {} | {ops:?}",
                first.replace('\n', " "),
                limits.pending,
                limits.resident
            ))
        }
        Err(TestError::Abort(why)) => Some(format!("aborted: {}", why.message())),
    }
}

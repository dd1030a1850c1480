//! The suite passes what is right, and names what is wrong.

use super::naive::{Fault, drive};
use super::{Suite, run_scenario, scenarios};

#[test]
fn a_right_driver_passes() {
    Suite::new(|session| drive(session, Fault::None)).check();
}

#[test]
fn names_are_unique_and_known() {
    let names: std::collections::BTreeSet<_> = scenarios().iter().collect();
    assert_eq!(names.len(), scenarios().len());
    assert!(run_scenario("nonsense", |session| session.machine).is_err());
}

#[test]
fn each_fault_is_found_by_the_scenario_about_it() {
    let faults = [
        (Fault::ReportsTwice, "request-is-exact"),
        (Fault::ForgetsToReport, "request-is-exact"),
        (Fault::ClockGoesBack, "request-is-exact"),
        (Fault::ReturnsEarly, "close-drain-lets-finish"),
        (Fault::CommandsWait, "commands-wake-the-driver"),
        (Fault::Oversleeps, "retry-then-delivered"),
        (Fault::NeverSleeps, "idle-sleeps"),
        (Fault::IgnoresCredit, "credit-is-respected"),
        (Fault::IgnoresAborts, "abort-closes-the-socket"),
        (Fault::DialsWhatIsDenied, "denied-is-not-dialled"),
        (Fault::SharesConnections, "no-reuse-between-endpoints"),
        (Fault::KeepsDirtyConnections, "no-reuse-after-surplus-bytes"),
        (Fault::KeepsDirtyConnections, "no-reuse-after-unasked-response"),
        (Fault::KeepsClosingConnections, "connection-close-is-honoured"),
        (Fault::DeadlineForEachRead, "deadline-dripping-head"),
        (Fault::DeadlineForEachRead, "deadline-dripping-body"),
        (Fault::ReadsAnyHead, "head-over-the-cap"),
        (Fault::ReadsAnyBody, "body-over-the-cap"),
        (Fault::CutBodyIsFailure, "hang-up-in-the-body"),
        (Fault::TakesAnyInterim, "ten-interim-responses"),
        (Fault::FollowsRedirects, "redirect-is-not-followed"),
        (Fault::AsksForGzip, "gzip-is-not-decompressed"),
        (Fault::AnySortOfTrust, "tls-wrong-name"),
    ];
    for (fault, scenario) in faults {
        let outcome = run_scenario(scenario, move |session| drive(session, fault));
        assert!(outcome.is_err(), "{fault:?} was not found by {scenario}: {outcome:?}");
    }
}

//! The rows of the table in `docs/internal/exactly_once.md`.

use super::{
    Mutant::{self, *},
    Script, Setup,
    explore::{Seen, explore, history},
    world::Budget,
};

const GAP: &str = "I2 a gap in the state";
const DIFFERS: &str = "I2 the state is not that of the outputs";
const AHEAD: &str = "I2 the state is ahead of what is committed";
const ASKEW: &str = "I2 live at an offset that the state is not at";
const EARLY: &str = "I2 live ahead of what is committed";
const TORN: &str = "I1 offset and outputs do not belong together";
const TWICE: &str = "I1 an output twice";
const BACK: &str = "I3 the offset moves back";
const STRANGER: &str = "I4 a stranger fenced the owner";
const HALTS: &str = "I9 a partition halts";

/// `TURBINE_EXPLORE=1` explores the larger budgets as well; for that the tests want `--release`.
fn is_thorough() -> bool {
    std::env::var_os("TURBINE_EXPLORE").is_some()
}

fn budget(crashes: u8, moves: u8, disks: u8, timeouts: u8) -> Budget {
    Budget { crashes, moves, disks, timeouts, ..Budget::default() }
}

fn seen(name: &str, setup: &Setup) -> Seen {
    let seen = explore(setup, 30_000_000);
    println!("{:>9} states, {:?}: {name} {:?}", seen.states, seen.faults, setup.budget);
    assert!(!seen.is_cut, "{name}: more states than are looked at");
    seen
}

/// The protocol survives everything in the budget: no fault, nobody stuck, and the end is reached.
fn holds(name: &str, setup: &Setup) {
    let seen = seen(name, setup);
    if let Some(fault) = seen.faults.first() {
        panic!("{name}: {:?}\n{}", seen.faults, history(setup, Some(*fault)).join("\n"));
    }
    if seen.stuck.is_some() {
        panic!("{name}: stuck\n{}", history(setup, Option::None).join("\n"));
    }
    assert!(seen.completes, "{name}");
}

fn breaks(name: &str, setup: &Setup, faults: &[&str]) {
    let mut found = seen(name, setup).faults;
    found.sort_unstable();
    let mut faults = faults.to_vec();
    faults.sort_unstable();
    assert_eq!(found, faults, "{name}");
}

fn seeded(mutant: Mutant, budget: Budget) -> Setup {
    Setup { mutant, ..Setup::plain(Script::TWO, budget) }
}

fn plain(budget: Budget) -> Setup {
    Setup::plain(Script::TWO, budget)
}

fn with_changelog(setup: Setup) -> Setup {
    Setup { has_changelog: true, ..setup }
}

/// One node, any handler, no changelog: the pending commit closes every gap.
#[test]
fn local_crashes_leave_no_gap() {
    holds("one node", &plain(budget(2, 0, 0, 1)));
    if is_thorough() {
        holds("one node", &Setup::plain(Script::THREE, budget(3, 0, 0, 1)));
        holds("one node", &Setup::plain(Script::THREE, budget(2, 0, 0, 2)));
    }
}

/// What is not synced may go with the power: the pending commit is.
#[test]
fn a_loss_of_power_leaves_no_gap() {
    holds("power", &plain(Budget { outages: 2, ..budget(0, 0, 0, 1) }));
    if is_thorough() {
        let more = Budget { outages: 2, ..budget(1, 0, 0, 1) };
        holds("power", &Setup::plain(Script::THREE, more));
    }
}

/// A handler that gives the same again may lose every disk.
#[test]
fn deterministic_handlers_survive_moves_and_lost_disks() {
    let same = |budget| Setup { is_deterministic: true, ..plain(budget) };
    holds("deterministic", &same(budget(1, 1, 1, 0)));
    holds("deterministic", &same(budget(0, 1, 0, 1)));
    if is_thorough() {
        holds("deterministic", &same(budget(1, 1, 1, 1)));
        let three = Setup { script: Script::THREE, ..same(budget(1, 1, 1, 0)) };
        holds("deterministic", &three);
    }
}

/// Any other handler cannot be replayed: what it put out is not what it would put out now.
#[test]
fn other_handlers_diverge_when_they_are_replayed() {
    breaks("replayed elsewhere", &plain(budget(1, 1, 0, 0)), &[DIFFERS]);
    if is_thorough() {
        breaks("replayed elsewhere", &plain(budget(1, 1, 0, 1)), &[DIFFERS]);
    }
}

/// With the changelog in the transaction every handler survives everything.
#[test]
fn a_changelog_closes_every_gap() {
    holds("changelog", &with_changelog(plain(budget(1, 1, 1, 0))));
    holds("changelog", &with_changelog(plain(budget(0, 1, 0, 1))));
    if is_thorough() {
        holds("changelog", &with_changelog(plain(budget(1, 1, 0, 1))));
        holds("changelog", &with_changelog(plain(budget(1, 1, 1, 1))));
        holds("changelog", &with_changelog(plain(budget(1, 2, 0, 0))));
        let three = Setup::plain(Script::THREE, budget(1, 1, 1, 0));
        holds("changelog", &with_changelog(three));
    }
}

/// Commits of timers, that read nothing, are told apart by their tokens.
#[test]
fn commits_without_input_are_exact() {
    let timer = |budget| Setup::plain(Script::TIMER, budget);
    holds("timer", &timer(budget(2, 0, 0, 1)));
    holds("timer", &with_changelog(timer(budget(1, 1, 0, 0))));
    if is_thorough() {
        holds("timer", &with_changelog(timer(budget(1, 1, 1, 0))));
        holds("timer", &with_changelog(timer(budget(1, 1, 0, 1))));
    }
}

/// Aborted attempts are tried again, also by a producer that had trouble, and leave nothing.
#[test]
fn aborts_leave_nothing() {
    holds("aborts", &plain(Budget { aborts: 1, ..budget(1, 0, 0, 1) }));
    holds("aborts", &plain(Budget { aborts: 2, ..budget(0, 0, 0, 1) }));
    holds("aborts", &plain(Budget { aborts: 1, ..budget(0, 0, 0, 2) }));
    if is_thorough() {
        holds("aborts", &plain(Budget { aborts: 2, ..budget(0, 0, 0, 3) }));
        holds("aborts", &with_changelog(plain(Budget { aborts: 1, ..budget(0, 1, 0, 2) })));
        holds("aborts", &plain(Budget { aborts: 2, outages: 1, ..budget(1, 0, 0, 1) }));
    }
}

/// Without state the offset alone decides.
#[test]
fn stateless_tasks_are_exact() {
    let stateless = |budget| Setup { has_store: false, ..plain(budget) };
    holds("stateless", &stateless(budget(1, 1, 0, 0)));
    holds("stateless", &stateless(budget(0, 1, 0, 1)));
    if is_thorough() {
        holds("stateless", &stateless(budget(1, 1, 0, 1)));
        holds("stateless", &Setup { script: Script::TIMER, ..stateless(budget(1, 1, 0, 1)) });
    }
}

/// Committing the same offset again changes nothing for whoever looks for a token.
#[test]
fn heartbeats_change_nothing() {
    holds("heartbeat", &plain(Budget { heartbeats: 1, outages: 1, ..budget(1, 0, 0, 1) }));
}

/// Whoever is told that the partition goes settles what is in flight, or leaves it to the next one.
#[test]
fn a_notice_loses_nothing() {
    let told = |budget| Setup { gives_notice: true, ..with_changelog(plain(budget)) };
    holds("notice", &told(budget(1, 1, 0, 0)));
    holds("notice", &told(budget(0, 1, 0, 1)));
    if is_thorough() {
        holds("notice", &told(budget(1, 1, 1, 0)));
        holds("notice", &told(budget(1, 1, 0, 1)));
    }
}

/// Other protocols lose what their authors say they lose.
#[test]
fn other_protocols_break_as_expected() {
    let after = |budget| seeded(NoPrepare, budget);
    let accepted = Setup { accepts_gaps: true, ..after(budget(1, 0, 0, 0)) };
    breaks("state after the commit, gap accepted", &accepted, &[GAP]);
    breaks("state after the commit, replayed", &after(budget(1, 0, 0, 0)), &[DIFFERS]);
    breaks("state first", &seeded(ApplyBeforeCommit, budget(1, 0, 0, 0)), &[AHEAD]);
    holds("changelog only", &with_changelog(after(budget(1, 1, 0, 0))));
    if is_thorough() {
        holds("changelog only", &with_changelog(after(budget(1, 1, 0, 1))));
    }
}

/// Each seeded defect is found, and by the invariant that is to find it.
#[test]
fn every_mutant_is_found() {
    let crash = budget(1, 0, 0, 0);
    let timeout = budget(1, 0, 0, 1);
    let moved = budget(0, 1, 0, 0);
    let abort = Budget { aborts: 1, ..crash };
    let beat = Budget { heartbeats: 1, ..crash };
    let power = Budget { outages: 1, ..Budget::default() };
    let twice = Budget { aborts: 1, ..budget(0, 0, 0, 2) };
    let mutants: [(Mutant, Budget, &[&str]); 23] = [
        (PrepareAfterCommit, crash, &[DIFFERS]),
        (NoPrepare, crash, &[DIFFERS]),
        (AlwaysRollForward, crash, &[EARLY]),
        (AlwaysDiscard, crash, &[DIFFERS]),
        (ReadBeforeInit, moved, &[TWICE, BACK]),
        (ReadUncommittedBeforeInit, crash, &[TWICE]),
        (NoSync, power, &[DIFFERS]),
        (TokenOfOffset, moved, &[DIFFERS]),
        (KeepSuspicious, timeout, &[TORN]),
        (AbortSuspicious, twice, &[TORN]),
        (NoFlush, crash, &[TORN]),
        (ApplyBeforeCommit, crash, &[AHEAD]),
        (ApplyBlindly, crash, &[ASKEW]),
        (NoReceipt, crash, &[DIFFERS]),
        (SideApart, crash, &[HALTS]),
        (SideLeftOut, crash, &[HALTS]),
        (NoAsking, moved, &[STRANGER]),
        (DiscardWhenUnknown, timeout, &[DIFFERS]),
        (UnknownIsOk, timeout, &[EARLY]),
        (UnknownIsAborted, timeout, &[TORN]),
        (NoAbort, abort, &[TWICE]),
        (HeartbeatWithToken, beat, &[HALTS]),
        (FencedIsOk, moved, &[EARLY]),
    ];
    for (mutant, budget, faults) in mutants {
        let setup = seeded(mutant, budget);
        let needs_changelog = budget.moves > 0;
        let setup = if needs_changelog { with_changelog(setup) } else { setup };
        let name = format!("{mutant:?}");
        let found = seen(&name, &setup).faults;
        assert!(faults.iter().all(|fault| found.contains(fault)), "{name}: {found:?}");
        holds("the same without", &Setup { mutant: Mutant::None, ..setup });
    }
}

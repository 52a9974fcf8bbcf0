//! Places where a test ends the process, or makes a step fail or wait.
//!
//! Nothing happens unless `TURBINE_FAILPOINTS` is set when a worker starts; until then a point costs one
//! load of an atomic. What it holds is `name=actions`, several divided by `;`. Actions are those of the
//! crate `fail` (`sleep(ms)`, `pause`, `return(text)`, counts, chances, `->`), and `kill`: SIGKILL, as if
//! the machine had lost the process.
//!
//! | value | what it does |
//! | --- | --- |
//! | `commit::flushed=kill` | ends the process at the first pass |
//! | `commit::flushed=999*off->kill` | at the thousandth |
//! | `commit::flushed=1%kill` | at each pass with a chance of one in a hundred |
//! | `store::prepare=1*return(disk full)` | the first call fails with that text |
//! | empty | only writes down which points are reached |
//!
//! The file that `TURBINE_FAILPOINTS_RECORD` names gets a line `name reached` for the first pass of each
//! point and `name fired` for each time that one ends the process or the step, written before it does.

mod points;

pub use points::POINTS;

use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    env,
    fs::{File, OpenOptions},
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

/// What arms the points.
const SPEC: &str = "TURBINE_FAILPOINTS";
/// File of what was reached.
const RECORD: &str = "TURBINE_FAILPOINTS_RECORD";
/// Our action, and what it is for the crate.
const KILL: &str = "kill";

static ARMED: AtomicBool = AtomicBool::new(false);
static REACHED: Mutex<Reached> = Mutex::new(Reached { names: BTreeSet::new(), file: None });

struct Reached {
    names: BTreeSet<&'static str>,
    file: Option<File>,
}

/// A place where things go wrong on purpose; its name is one of [`POINTS`].
///
/// `failpoint!("a::b")` is a statement. `failpoint!("a::b", |text| Err(...))` also leaves the function with
/// that value where the action is `return(text)`; `text` is a `String`.
macro_rules! failpoint {
    ($name:literal) => {{
        let _ = $crate::failpoints::failpoint!(@pass $name);
    }};
    ($name:literal, $value:expr) => {
        if let Some(text) = $crate::failpoints::failpoint!(@pass $name) {
            return $crate::failpoints::give(text, $value);
        }
    };
    (@pass $name:literal) => {{
        const { assert!($crate::failpoints::is_known($name), "add the name to src/failpoints/points.rs") };
        $crate::failpoints::pass($name)
    }};
}
pub(crate) use failpoint;

/// Arms what the environment asks for, once; to be called when a worker starts.
///
/// # Errors
///
/// [`Error::Config`] if a name or an action is not known, or the record cannot be written.
pub fn arm_from_env() -> Result<()> {
    let Ok(spec) = env::var(SPEC) else { return Ok(()) };
    if ARMED.load(Ordering::Relaxed) {
        return Ok(());
    }
    if let Ok(path) = env::var(RECORD) {
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let file = opened.map_err(|e| Error::io(format!("{RECORD}: opening {path}"), &e))?;
        REACHED.lock().file = Some(file);
    }
    arm(&spec)?;
    tracing::warn!(
        target: "turbine.worker",
        "{SPEC} is set: this worker is made to fail on purpose ({spec:?}); never run it so where its results count"
    );
    Ok(())
}

/// Arms the points of `spec`, as in the table of the module.
///
/// # Errors
///
/// [`Error::Config`] if a name or an action is not known.
pub fn arm(spec: &str) -> Result<()> {
    for one in spec.split(';').map(str::trim).filter(|one| !one.is_empty()) {
        let (name, actions) = one.split_once('=').ok_or_else(|| {
            Error::Config(format!("{SPEC}: {one:?} is not name=actions, as commit::flushed=kill"))
        })?;
        let known = POINTS.iter().find(|(known, _)| *known == name.trim());
        let (name, _) = known.ok_or_else(|| unknown(name.trim()))?;
        fail::cfg(*name, &terms(actions)).map_err(|e| {
            Error::Config(format!(
                "{SPEC}: the actions {actions:?} of {name} are not understood: {e}"
            ))
        })?;
    }
    ARMED.store(true, Ordering::Release);
    Ok(())
}

fn unknown(name: &str) -> Error {
    let names: Vec<&str> = POINTS.iter().map(|(name, _)| *name).collect();
    Error::Config(format!("{SPEC}: there is no point {name:?}; there are {}", names.join(", ")))
}

/// `3*off->kill` as the crate understands it.
fn terms(actions: &str) -> String {
    let term = |term: &str| match term.trim().strip_suffix(KILL) {
        Some(often) if often.is_empty() || often.ends_with(['*', '%']) => {
            format!("{often}return({KILL})")
        }
        _ => term.trim().to_owned(),
    };
    actions.split("->").map(term).collect::<Vec<_>>().join("->")
}

/// The code of [`failpoint!`]: the text of an action `return`.
#[inline]
pub(crate) fn pass(name: &'static str) -> Option<String> {
    if ARMED.load(Ordering::Relaxed) { pass_armed(name) } else { None }
}

#[cold]
fn pass_armed(name: &'static str) -> Option<String> {
    {
        let mut reached = REACHED.lock();
        if reached.names.insert(name) {
            reached.note(name, "reached");
        }
    }
    let text = fail::eval(name, Option::unwrap_or_default)?;
    REACHED.lock().note(name, "fired");
    if text == KILL {
        die();
    }
    Some(text)
}

/// What a step returns instead of its result.
pub(crate) fn give<T>(text: String, value: impl FnOnce(String) -> T) -> T {
    value(text)
}

impl Reached {
    fn note(&mut self, name: &str, what: &str) {
        // One write, which the system keeps although the process ends behind it.
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(format!("{name} {what}\n").as_bytes())
        {
            tracing::error!(target: "turbine.worker", "{RECORD}: {error}");
        }
    }
}

/// Ends the process as `kill -9` does: no destructor, no exit handler, nothing flushed.
fn die() -> ! {
    unsafe extern "C" {
        fn kill(pid: i32, signal: i32) -> i32;
    }
    const SIGKILL: i32 = 9;
    // SAFETY: a system call without memory of ours.
    unsafe { kill(std::process::id().cast_signed(), SIGKILL) };
    // Other threads may run until the signal is there; this one does not go on.
    loop {
        std::thread::park();
    }
}

/// Is `name` one of [`POINTS`]? For the compiler.
pub(crate) const fn is_known(name: &str) -> bool {
    let mut i = 0;
    while i < POINTS.len() {
        if is_same(POINTS[i].0.as_bytes(), name.as_bytes()) {
            return true;
        }
        i += 1;
    }
    false
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step() -> Result<u8, String> {
        failpoint!("test::step", Err);
        Ok(1)
    }

    #[test]
    fn a_point_acts_as_often_as_it_is_told() {
        arm("test::step=2*off->1*return(disk full)->off").unwrap();
        let passes: Vec<_> = (0..5).map(|_| step()).collect();
        assert_eq!(passes, [Ok(1), Ok(1), Err("disk full".to_owned()), Ok(1), Ok(1)]);
        assert!(REACHED.lock().names.contains("test::step"));
    }

    #[test]
    fn kill_is_an_action_with_counts_and_chances() {
        assert_eq!(terms("kill"), "return(kill)");
        assert_eq!(terms("999*off -> kill"), "999*off->return(kill)");
        assert_eq!(terms("5%1*kill->off"), "5%1*return(kill)->off");
        assert_eq!(terms("return(skill)"), "return(skill)");
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_there_is() {
        let refused = |spec: &str| arm(spec).unwrap_err().to_string();
        assert!(refused("nowhere=kill").contains("there is no point \"nowhere\"; there are "));
        assert!(refused("test::step").contains("is not name=actions"));
        assert!(refused("test::step=explode").contains("are not understood"));
    }

    #[test]
    fn names_are_there_once_and_sorted() {
        assert!(POINTS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(is_known("test::step") && !is_known("test::ste") && !is_known(""));
    }
}

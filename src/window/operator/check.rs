//! What a declaration must keep to, said in one sentence where it does not.

use super::assign::Assign;
use crate::{
    error::{Error, Result},
    window::spec::{Emit, OnLate, WindowKind, WindowSpec},
};
use std::collections::BTreeSet;

/// Columns that results have beside keys and outputs.
const RESERVED: [&str; 3] = ["window_start_ms", "window_end_ms", "window_result"];

/// Checks a declaration.
pub(super) fn check(spec: &WindowSpec) -> Result<()> {
    let fault = names(spec).or_else(|| lengths(spec)).or_else(|| combinations(spec));
    if let Some(fault) = fault {
        return Err(Error::Declaration(format!("window {:?}: {fault}", spec.name)));
    }
    if let WindowKind::Calendar { unit, timezone } = &spec.kind {
        Assign::calendar(*unit, timezone)?;
    }
    Ok(())
}

fn names(spec: &WindowSpec) -> Option<String> {
    if spec.name.is_empty() || spec.name.contains('\0') {
        return Some("give it a name; it names its state".into());
    }
    if spec.aggregates.is_empty() {
        return Some("give it something to compute, as Count()".into());
    }
    let mut seen: BTreeSet<&str> = RESERVED.into();
    let outputs = spec.aggregates.iter().map(|one| one.output.as_str());
    for name in spec.key.iter().map(String::as_str).chain(outputs) {
        if !seen.insert(name) {
            return Some(format!("two result columns are named {name:?}; rename an output"));
        }
    }
    None
}

fn lengths(spec: &WindowSpec) -> Option<String> {
    let positive = |what: &str, value: i64| {
        (value <= 0).then(|| format!("{what} must be more than 0 ms, not {value}"))
    };
    let kind = match &spec.kind {
        WindowKind::Tumbling { size_ms, .. } | WindowKind::Sliding { size_ms } => {
            positive("size", *size_ms)
        }
        WindowKind::Hopping { size_ms, step_ms, .. } => {
            positive("size", *size_ms).or_else(|| positive("step", *step_ms)).or_else(|| {
                (size_ms % step_ms != 0).then(|| {
                    format!(
                        "step {step_ms} ms does not divide size {size_ms} ms; choose one that does"
                    )
                })
            })
        }
        WindowKind::Session { gap_ms, max_duration_ms } => positive("gap", *gap_ms).or_else(|| {
            max_duration_ms
                .filter(|longest| longest < gap_ms)
                .map(|longest| format!("max_duration {longest} ms is shorter than gap {gap_ms} ms"))
        }),
        WindowKind::Count { rows, step } => match step {
            _ if *rows == 0 => Some("rows must be at least 1".into()),
            Some(step) if *step == 0 || step > rows => {
                Some(format!("step must be 1 to {rows} rows, not {step}"))
            }
            _ => None,
        },
        WindowKind::Calendar { .. } | WindowKind::Global => None,
    };
    let emit = match spec.emit {
        Emit::Early { interval_ms } => positive("the interval of early results", interval_ms),
        Emit::EveryRows { rows: 0 } => Some("every_rows must be at least 1".into()),
        _ => None,
    };
    let grace = spec.grace_ms < 0;
    kind.or(emit).or_else(|| grace.then(|| "grace cannot be negative".into()))
}

fn combinations(spec: &WindowSpec) -> Option<String> {
    use WindowKind::{Calendar, Count, Global, Hopping, Sliding, Tumbling};
    let steps = matches!(&spec.kind, Count { rows, step: Some(step) } if step < rows);
    let overlapping = matches!(spec.kind, Hopping { .. } | Sliding { .. });
    if overlapping && spec.emit != Emit::Final {
        return Some(
            "hopping and sliding windows give final results only; take tumbling ones".into(),
        );
    }
    if matches!(spec.kind, Count { .. }) && !matches!(spec.emit, Emit::Final | Emit::Changes) {
        return Some("count windows give final results or changes; take a global one".into());
    }
    if steps && spec.emit == Emit::Changes {
        return Some("count windows with a step give final results only".into());
    }
    if matches!((&spec.kind, &spec.emit), (Global, Emit::Final)) {
        return Some("a global window never ends; choose emit=\"changes\" or another".into());
    }
    let side_by_side = matches!(spec.kind, Tumbling { .. } | Calendar { .. });
    if spec.on_late == OnLate::Update && !side_by_side {
        return Some(
            "on_late=\"update\" is for tumbling and calendar windows; route late rows".into(),
        );
    }
    if spec.max_open.is_some() && (overlapping || steps || spec.persistent) {
        return Some("max_open is for windows in memory that do not overlap; leave it out".into());
    }
    (spec.max_open == Some(0)).then(|| "max_open must be at least 1".into())
}

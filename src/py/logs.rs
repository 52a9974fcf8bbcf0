//! Log lines of the core, kept until Python takes them: no thread of the core ever waits for the
//! interpreter to write a line.

use crate::worker::wake::WakeFd;
use parking_lot::Mutex;
use pyo3::prelude::*;
use std::{
    collections::VecDeque,
    fmt::Write,
    sync::{
        OnceLock, Weak,
        atomic::{AtomicU8, Ordering},
    },
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Most lines kept; the oldest go first.
const KEPT: usize = 10_000;

/// (level as in Python's logging, logger name, text)
type Line = (u8, String, String);

static LINES: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());
static WAKES: Mutex<Vec<Weak<WakeFd>>> = Mutex::new(Vec::new());
/// Lowest level kept, as in Python's logging.
static LEVEL: AtomicU8 = AtomicU8::new(20);

struct Keep;

fn put(level: u8, logger: &str, text: String) {
    {
        let mut lines = LINES.lock();
        if lines.len() >= KEPT {
            lines.pop_front();
        }
        lines.push_back((level, logger.replace("::", "."), text));
    }
    WAKES.lock().retain(|wake| wake.upgrade().inspect(|w| w.signal()).is_some());
}

/// Wakes `wake` with every line from now on.
pub(super) fn attach(wake: Weak<WakeFd>) {
    WAKES.lock().push(wake);
}

fn python_level(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        _ => 10,
    }
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            let rest = std::mem::take(&mut self.0);
            write!(self.0, "{value:?}{rest}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}

impl Subscriber for Keep {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("turbine")
            && python_level(*metadata.level()) >= LEVEL.load(Ordering::Relaxed)
    }
    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        put(python_level(*event.metadata().level()), event.metadata().target(), text.0);
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Takes over the core's log lines, once a process.
pub(super) fn install() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        // Only fails if a subscriber is set already, and then lines go there.
        let _ = tracing::subscriber::set_global_default(Keep);
    });
}

/// Take the lines since the last call: (level, logger, text).
#[pyfunction]
pub(super) fn take_logs() -> Vec<Line> {
    LINES.lock().drain(..).collect()
}

/// Keep lines from *level* on, a level of Python's logging.
#[pyfunction]
pub(super) fn set_log_level(level: u8) {
    LEVEL.store(level, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

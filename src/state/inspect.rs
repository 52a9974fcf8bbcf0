//! Looking at state from outside: tables by name, rows as JSON, pages instead of everything.
//!
//! # Guarantees
//!
//! * Nothing is written, and nobody waits for who looks.
//! * An answer has a bounded number of rows and bytes and takes a bounded time; what is left out is
//!   behind the cursor `next`.
//!
//! A table has the name that it was declared with; the state of a subscription's handler has the name of
//! the subscription, and its windows and timers have `.windows` and `.timers` behind it.

use super::{Mark, Space, SpaceName, Store, TaskName, keys, names::Layout, value::Value};
use crate::error::{Error, Result};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::{sync::Arc, time::Instant};

/// Most rows of a page.
pub const MOST_ROWS: usize = 1_000;
/// Most bytes of a page, as they are stored.
const MOST_BYTES: usize = 4 << 20;
/// Rows between two looks at the clock.
const ROWS_A_LOOK: usize = 64;
/// Bytes that have no other form are shown up to here.
const SHOWN_BYTES: usize = 4 << 10;

/// What the names of spaces begin with that the engine has for itself.
const OWN: &str = "turbine.";

/// The state of one task.
#[derive(Clone)]
pub struct Opened {
    /// Whose it is.
    pub task: TaskName,
    /// What it consists of, as [`Space`] counts.
    pub spaces: Vec<SpaceName>,
    /// It.
    pub store: Arc<dyn Store>,
}

/// Who knows what entries are that are none of a handler's own.
pub trait Meaning: Send + Sync {
    /// What the entry under `key` in a space of handlers is.
    fn of(&self, store: &dyn Store, space: Space, key: &[u8], value: &[u8]) -> Meant;
}

/// What an entry is.
pub enum Meant {
    /// Something that is shown as it is stored.
    Other,
    /// Nothing to be shown.
    Hidden,
    /// A row.
    Row {
        /// Its key.
        key: Json,
        /// What belongs to it.
        value: Json,
    },
}

/// One partition of one table.
#[derive(Clone)]
pub struct Part {
    /// Name of the table.
    pub table: String,
    /// Whose it is.
    pub task: TaskName,
    space: Space,
    layout: Layout,
    store: Arc<dyn Store>,
    meaning: Option<Arc<dyn Meaning>>,
}

/// What is asked of a table.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What keys begin with.
    pub prefix: String,
    /// Key of a record, for state that was put under one.
    pub scope: Option<String>,
    /// One partition alone.
    pub partition: Option<i32>,
    /// Where the page before ended.
    pub after: Option<String>,
    /// Most rows.
    pub limit: usize,
    /// When to stop looking.
    pub until: Instant,
}

/// A key and what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The key.
    pub key: Json,
    /// Key of the record that it belongs to, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Json>,
    /// The value.
    pub value: Json,
    /// When it is gone, in event time, in ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// Topic of the task.
    pub topic: String,
    /// Partition of the task.
    pub partition: i32,
}

/// Some rows, and where the next ones are.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Page {
    /// The rows, by topic, partition and key.
    pub rows: Vec<Row>,
    /// What [`Asked::after`] is for the next page; none: this was the last.
    pub next: Option<String>,
}

/// What a partition of a table has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Keys.
    pub keys: u64,
    /// Bytes of the keys.
    pub key_bytes: u64,
    /// Bytes of the values.
    pub value_bytes: u64,
}

/// The tables in `all`, part by part.
#[must_use]
pub fn parts(all: &[Opened]) -> Vec<Part> {
    let of = |one: &Opened| -> Vec<Part> {
        let spaces = (0..).map(Space).zip(&one.spaces);
        let part = |(space, name): (Space, &SpaceName)| Part {
            table: table(&one.task, name),
            task: one.task.clone(),
            space,
            layout: name.layout,
            store: Arc::clone(&one.store),
            meaning: None,
        };
        spaces.filter(|(_, name)| is_shown(name)).map(part).collect()
    };
    let mut parts: Vec<_> = all.iter().flat_map(of).collect();
    parts.sort_by(|a, b| a.place().cmp(&b.place()));
    parts
}

/// What the engine keeps beside the content, as the positions of several inputs, is no table.
fn is_shown(space: &SpaceName) -> bool {
    space.layout == Layout::ByKey || !space.name().starts_with(OWN)
}

fn table(task: &TaskName, space: &SpaceName) -> String {
    match (space.layout, space.name()) {
        (Layout::ByKey, name) => name.to_owned(),
        (_, "state") => task.owner.clone(),
        (_, name) => format!("{}.{name}", task.owner),
    }
}

impl Part {
    fn place(&self) -> (&str, &str, i32) {
        (&self.table, &self.task.topic, self.task.partition)
    }

    /// Lets `meaning` say what entries are that are none of a handler's own.
    #[must_use]
    pub fn meaning(self, meaning: &Arc<dyn Meaning>) -> Self {
        Self { meaning: Some(Arc::clone(meaning)), ..self }
    }

    /// What it has seen.
    ///
    /// # Errors
    ///
    /// As [`Store::mark`].
    pub fn mark(&self) -> Result<Option<Mark>> {
        self.store.mark()
    }

    /// Counts everything; takes as long as reading it.
    ///
    /// # Errors
    ///
    /// As [`Store::scan`].
    pub fn stats(&self) -> Result<Stats> {
        let mut stats = Stats::default();
        self.store.scan(self.space, b"", &mut |key, value| {
            stats.keys += 1;
            stats.key_bytes += key.len() as u64;
            stats.value_bytes += value.len() as u64;
            Ok(())
        })?;
        Ok(stats)
    }

    /// The row of `key`, if it is here.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    pub fn find(&self, key: &str, scope: Option<&str>) -> Result<Option<Row>> {
        for stored in self.stored_forms(key, scope) {
            if let Some(value) = self.store.get(self.space, &stored)? {
                return Ok(self.row(&stored, &value));
            }
        }
        Ok(None)
    }

    /// How `key` may be stored: as text, or as the JSON of it.
    fn stored_forms(&self, key: &str, scope: Option<&str>) -> Vec<Vec<u8>> {
        match self.layout {
            Layout::Scoped => vec![keys::join(scope.map(str::as_bytes), key.as_bytes())],
            Layout::ByKey => vec![key.into(), json!(key).to_string().into_bytes()],
            Layout::Plain => vec![key.into(), from_hex(key).unwrap_or_default()],
        }
    }

    fn prefix(&self, asked: &Asked) -> Vec<u8> {
        match (self.layout, &asked.scope) {
            (Layout::Scoped, None) if asked.prefix.is_empty() => Vec::new(),
            (Layout::Scoped, scope) => {
                keys::join(scope.as_deref().map(str::as_bytes), asked.prefix.as_bytes())
            }
            _ => asked.prefix.clone().into_bytes(),
        }
    }

    /// None for an entry that is not shown.
    fn row(&self, key: &[u8], value: &[u8]) -> Option<Row> {
        let (topic, partition) = (self.task.topic.clone(), self.task.partition);
        let asked = self.meaning.as_ref().filter(|_| self.layout == Layout::Scoped);
        match asked.map(|meaning| meaning.of(&*self.store, self.space, key, value)) {
            Some(Meant::Hidden) => return None,
            Some(Meant::Row { key, value }) => {
                return Some(Row { key, scope: None, value, expires_ms: None, topic, partition });
            }
            Some(Meant::Other) | None => {}
        }
        let split = (self.layout == Layout::Scoped).then(|| keys::split(key)).flatten();
        let (scope, key) = split.unwrap_or((None, key));
        let read = match self.layout {
            Layout::Scoped => Value::read(value).ok(),
            _ => None,
        };
        let expires_ms = read.and_then(|value| value.expires_ms);
        let value = match (read, self.layout) {
            (Some(value), _) => value.to_json(),
            (None, Layout::ByKey) => serde_json::from_slice(value).unwrap_or_else(|_| text(value)),
            (None, _) => text(value),
        };
        Some(Row { key: text(key), scope: scope.map(text), value, expires_ms, topic, partition })
    }
}

/// A page of the table whose parts these are.
///
/// # Errors
///
/// [`Error::Config`] for a cursor that no page has given, else as [`Store::scan`].
pub fn page(parts: &[Part], asked: &Asked) -> Result<Page> {
    let cursor = asked.after.as_deref().map(Cursor::read).transpose()?;
    let limit = asked.limit.clamp(1, MOST_ROWS);
    let mut page = Page::default();
    let wanted =
        parts.iter().filter(|part| asked.partition.is_none_or(|p| p == part.task.partition));
    for part in wanted {
        let place = (part.task.topic.as_str(), part.task.partition);
        let order = cursor.as_ref().map(|at| place.cmp(&(at.topic.as_str(), at.partition)));
        let after = match order {
            Some(std::cmp::Ordering::Less) => continue,
            Some(std::cmp::Ordering::Equal) => cursor.as_ref().map(|at| at.key.as_slice()),
            _ => None,
        };
        if !fill(part, asked, after, limit, &mut page)? {
            break;
        }
    }
    Ok(page)
}

/// Adds rows of `part`; false once the page is full.
fn fill(
    part: &Part,
    asked: &Asked,
    after: Option<&[u8]>,
    limit: usize,
    page: &mut Page,
) -> Result<bool> {
    let (mut bytes, mut last, mut full) = (0, after.map(<[u8]>::to_vec), false);
    let scanned =
        part.store.scan_after(part.space, &part.prefix(asked), after, &mut |key, value| {
            let is_late =
                page.rows.len() % ROWS_A_LOOK == ROWS_A_LOOK - 1 && Instant::now() >= asked.until;
            if page.rows.len() >= limit || bytes >= MOST_BYTES || is_late {
                full = true;
                return Err(Error::Stopped);
            }
            bytes += key.len() + value.len();
            page.rows.extend(part.row(key, value));
            last = Some(key.to_vec());
            Ok(())
        });
    if full {
        let (topic, partition) = (part.task.topic.clone(), part.task.partition);
        page.next = Some(Cursor { topic, partition, key: last.unwrap_or_default() }.write());
        return Ok(false);
    }
    scanned.map(|()| true)
}

/// Where a page ended.
struct Cursor {
    topic: String,
    partition: i32,
    key: Vec<u8>,
}

impl Cursor {
    fn write(&self) -> String {
        format!("{}:{}:{}", self.topic, self.partition, hex(&self.key))
    }

    fn read(text: &str) -> Result<Self> {
        let parse = || {
            let mut fields = text.split(':');
            let (topic, partition) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
            let key = from_hex(fields.next()?)?;
            Some(Self { topic, partition, key }).filter(|_| fields.next().is_none())
        };
        parse().ok_or_else(|| {
            Error::Config(format!("after={text}: give what the page before has as next"))
        })
    }
}

/// Bytes as text, or as `{"bytes": "<hex>"}` where they are none.
fn text(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_whitespace()) => json!(text),
        _ if bytes.len() > SHOWN_BYTES => {
            json!({ "bytes": hex(&bytes[..SHOWN_BYTES]), "of": bytes.len() })
        }
        _ => json!({ "bytes": hex(bytes) }),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digits = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    rest.is_empty().then(|| pairs.iter().map(digits).collect()).flatten()
}

#[cfg(test)]
#[path = "inspect/tests.rs"]
mod tests;

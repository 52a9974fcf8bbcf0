//! Why a record is bad, and where in it.

/// Why a record is bad.
#[derive(Debug)]
pub(in crate::codec) struct Fault {
    /// Byte of the record where it showed.
    pub at: usize,
    /// What is wrong, as the rest of a sentence.
    pub what: String,
    /// Field names and list positions from the innermost to the outermost.
    pub path: Vec<Step>,
}

/// One step of the way from the record to a value.
#[derive(Debug)]
pub(in crate::codec) enum Step {
    /// A field of an object, or a key of a map.
    Field(Box<str>),
    /// A position in a list.
    Item(usize),
}

/// Result of everything that reads a record; the error is boxed to keep the good path narrow.
pub(in crate::codec) type Scanned<T> = Result<T, Box<Fault>>;

impl Fault {
    #[cold]
    #[inline(never)]
    pub(in crate::codec) fn new(at: usize, what: impl Into<String>) -> Box<Self> {
        Box::new(Self { at, what: what.into(), path: Vec::new() })
    }

    /// As it is, one step further in.
    #[cold]
    pub(in crate::codec) fn within(mut self: Box<Self>, step: Step) -> Box<Self> {
        self.path.push(step);
        self
    }

    /// As [`Self::within`], for a field.
    #[cold]
    pub(in crate::codec) fn within_field(self: Box<Self>, name: &str) -> Box<Self> {
        self.within(Step::Field(name.into()))
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => path.extend([".", name]),
                Step::Item(i) => path.push_str(&format!("[{i}]")),
            }
        }
        path
    }

    /// The sentence for people, where no byte can be named: path and reason.
    pub(in crate::codec) fn message_without_place(&self) -> String {
        let path = self.path();
        if path.is_empty() { self.what.clone() } else { format!("`{path}`: {}", self.what) }
    }

    /// The sentence for people, for records that are no text: path, reason, byte.
    pub(in crate::codec) fn message_in_bytes(&self) -> String {
        let path = self.path();
        if path.is_empty() {
            format!("{} at byte {}", self.what, self.at)
        } else {
            format!("field `{path}`: {} at byte {}", self.what, self.at)
        }
    }

    /// The sentence for people: path, reason, line and column.
    pub(in crate::codec) fn message(&self, data: &[u8]) -> String {
        let before = &data[..self.at.min(data.len())];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        // Columns count characters: continuation bytes of UTF-8 do not start one.
        let column = 1 + before[start..].iter().filter(|&&b| b & 0xC0 != 0x80).count();
        let path = self.path();
        if path.is_empty() {
            format!("{} at line {line} column {column}", self.what)
        } else {
            format!("field `{path}`: {} at line {line} column {column}", self.what)
        }
    }
}

/// At most 40 characters of `text`, for messages.
pub(in crate::codec) fn shorten(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

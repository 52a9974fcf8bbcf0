//! The settings of a topic: their names, defaults and which values are allowed.

use super::log::{LogPolicy, TimestampType};
use std::collections::BTreeMap;

/// What kind of value a setting has, by the number that clients know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Bool = 1,
    /// One of some words, or any text.
    Text = 2,
    /// A 32-bit number.
    Int = 3,
    /// A 64-bit number.
    Long = 5,
    /// A fraction.
    Double = 6,
    /// Words with commas between.
    List = 7,
}

/// A setting that every topic has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its value where nobody has set it.
    pub(crate) default: &'static str,
    /// What kind of value it has.
    pub(crate) kind: Kind,
    /// The words that are allowed; any, if empty.
    words: &'static [&'static str],
    /// The least number that is allowed.
    least: i64,
}

const fn number(name: &'static str, default: &'static str, kind: Kind, least: i64) -> Setting {
    Setting { name, default, kind, words: &[], least }
}

const fn words(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    words: &'static [&'static str],
) -> Setting {
    Setting { name, default, kind, words, least: i64::MIN }
}

const MAX: &str = "9223372036854775807";
const BOOLS: &[&str] = &["true", "false"];

/// Every setting, by name.
pub(crate) const SETTINGS: &[Setting] = &[
    words("cleanup.policy", "delete", Kind::List, &["delete", "compact"]),
    words(
        "compression.type",
        "producer",
        Kind::Text,
        &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
    ),
    number("delete.retention.ms", "86400000", Kind::Long, 0),
    number("file.delete.delay.ms", "60000", Kind::Long, 0),
    number("flush.messages", MAX, Kind::Long, 1),
    number("flush.ms", MAX, Kind::Long, 0),
    words("follower.replication.throttled.replicas", "", Kind::List, &[]),
    number("index.interval.bytes", "4096", Kind::Int, 0),
    words("leader.replication.throttled.replicas", "", Kind::List, &[]),
    number("max.compaction.lag.ms", MAX, Kind::Long, 1),
    number("max.message.bytes", "1048588", Kind::Int, 0),
    number("message.timestamp.after.max.ms", "3600000", Kind::Long, 0),
    number("message.timestamp.before.max.ms", MAX, Kind::Long, 0),
    words("message.timestamp.type", "CreateTime", Kind::Text, &["CreateTime", "LogAppendTime"]),
    number("min.cleanable.dirty.ratio", "0.5", Kind::Double, 0),
    number("min.compaction.lag.ms", "0", Kind::Long, 0),
    number("min.insync.replicas", "1", Kind::Int, 1),
    words("preallocate", "false", Kind::Bool, BOOLS),
    number("retention.bytes", "-1", Kind::Long, -1),
    number("retention.ms", "604800000", Kind::Long, -1),
    number("segment.bytes", "1073741824", Kind::Int, 14),
    number("segment.index.bytes", "10485760", Kind::Int, 4),
    number("segment.jitter.ms", "0", Kind::Long, 0),
    number("segment.ms", "604800000", Kind::Long, 1),
    words("unclean.leader.election.enable", "false", Kind::Bool, BOOLS),
];

impl Setting {
    /// The setting called `name`.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|s| s.name == name)
    }

    fn check(&self, value: &str) -> Result<(), String> {
        let fits = match self.kind {
            Kind::Bool | Kind::Text => self.words.is_empty() || self.words.contains(&value),
            Kind::List => {
                self.words.is_empty() || value.split(',').all(|w| self.words.contains(&w.trim()))
            }
            Kind::Int => value.parse::<i32>().is_ok_and(|v| i64::from(v) >= self.least),
            Kind::Long => value.parse::<i64>().is_ok_and(|v| v >= self.least),
            Kind::Double => value.parse::<f64>().is_ok_and(|v| (0.0..=1.0).contains(&v)),
        };
        if fits {
            return Ok(());
        }
        let wanted = match self.kind {
            Kind::Int | Kind::Long => format!("a whole number of at least {}", self.least),
            Kind::Double => "a number between 0 and 1".to_owned(),
            Kind::Bool | Kind::Text | Kind::List => self.words.join(", "),
        };
        Err(format!("Invalid value {value} for configuration {}: expected {wanted}", self.name))
    }
}

/// What was set for one topic; everything else has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicConfig {
    set: BTreeMap<String, String>,
}

impl TopicConfig {
    /// Checks names and values.
    pub(crate) fn new(set: BTreeMap<String, String>) -> Result<Self, String> {
        for (name, value) in &set {
            let setting =
                Setting::find(name).ok_or_else(|| format!("Unknown topic config name: {name}"))?;
            setting.check(value)?;
        }
        Ok(Self { set })
    }

    /// What was set.
    pub(crate) fn set(&self) -> &BTreeMap<String, String> {
        &self.set
    }

    /// The value of a setting, set or not.
    pub(crate) fn value<'a>(&'a self, setting: &'a Setting) -> &'a str {
        self.set.get(setting.name).map_or(setting.default, String::as_str)
    }

    /// What the topic's logs obey; `retention_bytes` holds where the topic does not say.
    pub(crate) fn policy(&self, retention_bytes: Option<u64>) -> LogPolicy {
        let number = |name: &str| -> i64 {
            let setting = Setting::find(name).expect("a name of the table");
            self.value(setting).parse().expect("values are checked when set")
        };
        let is_set = |name: &str, word: &str| {
            let setting = Setting::find(name).expect("a name of the table");
            self.value(setting).split(',').any(|set| set.trim() == word)
        };
        let retention_bytes = match self.set.get("retention.bytes") {
            Some(_) => u64::try_from(number("retention.bytes")).ok(),
            None => retention_bytes,
        };
        let deletes = is_set("cleanup.policy", "delete");
        let compacts = is_set("cleanup.policy", "compact");
        let (segment_ms, max_lag_ms) = (number("segment.ms"), number("max.compaction.lag.ms"));
        let ratio = Setting::find("min.cleanable.dirty.ratio").expect("a name of the table");
        LogPolicy {
            max_message_bytes: usize::try_from(number("max.message.bytes")).unwrap_or(usize::MAX),
            timestamp_type: if is_set("message.timestamp.type", "LogAppendTime") {
                TimestampType::LogAppend
            } else {
                TimestampType::Create
            },
            max_ahead_ms: number("message.timestamp.after.max.ms"),
            deletes,
            compacts,
            retention_bytes: retention_bytes.filter(|_| deletes),
            retention_ms: Some(number("retention.ms")).filter(|ms| deletes && *ms >= 0),
            segment_bytes: u64::try_from(number("segment.bytes")).unwrap_or(u64::MAX),
            segment_ms: if compacts { segment_ms.min(max_lag_ms) } else { segment_ms },
            min_dirty_ratio: self.value(ratio).parse().expect("values are checked when set"),
            min_lag_ms: number("min.compaction.lag.ms"),
            max_lag_ms,
            delete_retention_ms: number("delete.retention.ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, value: &str) -> Result<TopicConfig, String> {
        TopicConfig::new(BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn every_default_is_a_value_that_could_be_set() {
        for setting in SETTINGS {
            if setting.default.is_empty() {
                continue;
            }
            assert!(config(setting.name, setting.default).is_ok(), "{}", setting.name);
        }
        assert!(SETTINGS.is_sorted_by_key(|s| s.name));
    }

    #[test]
    fn wrong_names_and_values_are_refused_with_what_is_expected() {
        assert_eq!(config("no.such", "1").unwrap_err(), "Unknown topic config name: no.such");
        for (name, value) in [
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("cleanup.policy", "keep"),
            ("min.cleanable.dirty.ratio", "2"),
            ("preallocate", "yes"),
            ("max.message.bytes", "4294967296"),
        ] {
            let refused = config(name, value).unwrap_err();
            assert!(refused.contains(name) && refused.contains("expected"), "{refused}");
        }
        assert!(config("cleanup.policy", "compact,delete").is_ok());
    }

    #[test]
    fn the_topics_retention_goes_before_the_brokers() {
        let none = TopicConfig::default();
        assert_eq!(none.policy(Some(7)).retention_bytes, Some(7));
        let all = config("retention.bytes", "-1").unwrap();
        assert_eq!(all.policy(Some(7)).retention_bytes, None);
        let some = config("retention.bytes", "100").unwrap();
        assert_eq!(some.policy(None).retention_bytes, Some(100));
    }
    #[test]
    fn a_topic_that_only_compacts_gives_nothing_up_for_age_or_size() {
        let age = |config: &TopicConfig| config.policy(Some(7)).retention_ms;
        assert_eq!(age(&TopicConfig::default()), Some(604_800_000));
        assert_eq!(age(&config("retention.ms", "-1").unwrap()), None);
        let compact = config("cleanup.policy", "compact").unwrap();
        assert_eq!((age(&compact), compact.policy(Some(7)).retention_bytes), (None, None));
        let both = config("cleanup.policy", "compact, delete").unwrap();
        assert_eq!(age(&both), Some(604_800_000));
        assert!(both.policy(None).compacts && both.policy(Some(7)).retention_bytes == Some(7));
    }
}

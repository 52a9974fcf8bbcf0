//! Why a partition stands still until somebody decides: the reason and the numbers, as data.

use serde::Serialize;
use std::fmt;

/// What does not fit together, or does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The state has seen more than is committed: offsets were set back or lost.
    StateAhead,
    /// There is state but no committed offset, and the state cannot be adopted.
    OffsetsLost,
    /// The committed offset was put there by something else.
    ForeignOffsets,
    /// A newer version of Turbine committed.
    NewerMetadata,
    /// The state is that of a topic in another cluster.
    AnotherCluster,
    /// The topic was deleted and created again.
    AnotherTopic,
    /// The state is at the committed offset, but nothing leads from its last commit to that of the offset.
    AnotherHistory,
    /// Records behind the committed offset are gone from the topic.
    InputTruncated,
    /// The topic ends in front of the committed offset.
    LogTruncated,
    /// The gap is larger than `halt_if_gap_exceeds`.
    GapTooLarge,
    /// Nothing closes the gap: no changelog, no snapshot, and the input is gone.
    GapOpen,
    /// A replay gave other outputs than the ones that are committed.
    ReplayDiverged,
    /// The broker aborted one commit too often.
    CommitRefused,
    /// The broker refuses the transactional producer.
    ProducerRefused,
    /// The state cannot be read or written.
    StoreFailed,
    /// The commit took effect but the state could not be brought up to it.
    NotApplied,
    /// A commit was submitted that does not follow the last one: a defect of Turbine.
    OutOfOrder,
}

impl Reason {
    /// The word in `/health`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::StateAhead => "state_ahead",
            Self::OffsetsLost => "offsets_lost",
            Self::ForeignOffsets => "foreign_offsets",
            Self::NewerMetadata => "newer_metadata",
            Self::AnotherCluster => "another_cluster",
            Self::AnotherTopic => "another_topic",
            Self::AnotherHistory => "another_history",
            Self::InputTruncated => "input_truncated",
            Self::LogTruncated => "log_truncated",
            Self::GapTooLarge => "gap_too_large",
            Self::GapOpen => "gap_open",
            Self::ReplayDiverged => "replay_diverged",
            Self::CommitRefused => "commit_refused",
            Self::ProducerRefused => "producer_refused",
            Self::StoreFailed => "store_failed",
            Self::NotApplied => "not_applied",
            Self::OutOfOrder => "out_of_order",
        }
    }

    /// What it means.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::StateAhead => {
                "the state has seen more than is committed: offsets were set back or lost"
            }
            Self::OffsetsLost => {
                "there is state but no committed offset, and the state cannot be adopted as it is"
            }
            Self::ForeignOffsets => "the committed offset was put there by something else",
            Self::NewerMetadata => {
                "the last commit is of a newer version of Turbine; run that version or a later one"
            }
            Self::AnotherCluster => "the state is that of a topic in another Kafka cluster",
            Self::AnotherTopic => {
                "the topic was deleted and created again since the state was written"
            }
            Self::AnotherHistory => {
                "the state is at the committed offset, but another commit than the last one made it"
            }
            Self::InputTruncated => "records behind the committed offset are gone from the topic",
            Self::LogTruncated => "the topic ends in front of the committed offset",
            Self::GapTooLarge => "the state lacks more records than `halt_if_gap_exceeds` allows",
            Self::GapOpen => {
                "the state lacks records that neither changelog nor snapshot nor input have"
            }
            Self::ReplayDiverged => {
                "replaying the input gave other outputs than those committed: the handler is not deterministic"
            }
            Self::CommitRefused => "the broker aborted the same commit again and again",
            Self::ProducerRefused => "the broker refuses the transactional producer",
            Self::StoreFailed => "the state cannot be read or written",
            Self::NotApplied => {
                "the commit took effect but the state could not be brought up to it; it will be at the next start"
            }
            Self::OutOfOrder => {
                "a commit does not follow the last one; this is a defect of Turbine, please report it"
            }
        }
    }
}

/// A partition that stands still, with the numbers that led to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Halt {
    /// What does not fit.
    pub reason: Reason,
    /// Offset that the state is at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<i64>,
    /// Offset that is committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committed: Option<i64>,
    /// First offset of the input partition, and the one behind its last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<(i64, i64)>,
    /// What was said by whoever refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Halt {
    /// One without numbers.
    #[must_use]
    pub fn of(reason: Reason) -> Self {
        Self { reason, local: None, committed: None, log: None, detail: None }
    }

    /// With the words of whoever refused.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.code(), self.reason.sentence())?;
        let mut numbers = Vec::new();
        numbers.extend(self.local.map(|at| format!("state at {at}")));
        numbers.extend(self.committed.map(|at| format!("committed {at}")));
        numbers.extend(self.log.map(|(start, end)| format!("topic has {start} to {end}")));
        if !numbers.is_empty() {
            write!(f, " ({})", numbers.join(", "))?;
        }
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))?;
        write!(f, ". `turbine doctor` says what can be done")
    }
}

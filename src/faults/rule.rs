//! Rules, how they match, what they decide.
//!
//! # Guarantees
//!
//! * A rule acts at most as often as it may, however many connections ask at once.
//! * Rules act in the order in which they were added. Every hold and every delay that matches acts;
//!   of the rules that end a request only the first does, and the others keep their turn.

use super::{names, topics::names_topics};
use crate::error::{Error, Result};
use kafka_protocol::messages::ApiKey;
use parking_lot::RwLock;
use std::{
    cell::OnceCell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    Requests,
    /// To the client.
    Responses,
    /// Both ways.
    Both,
}

impl Direction {
    fn has_requests(self) -> bool {
        self != Self::Responses
    }

    fn has_responses(self) -> bool {
        self != Self::Requests
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The request has no effect and is answered with this error code.
    Fail(i16),
    /// It waits; what its connection sends behind it waits too.
    Delay(Duration, Direction),
    /// It takes effect, but the connection closes instead of a response.
    DropResponse,
    /// The connection closes, and the request has no effect.
    Disconnect,
    /// It waits until the rule is removed.
    Hold(Direction),
}

impl Action {
    /// One word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fail(_) => "fail",
            Self::Delay(..) => "delay",
            Self::DropResponse => "drop_response",
            Self::Disconnect => "disconnect",
            Self::Hold(_) => "hold",
        }
    }
}

/// Which requests a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Kind of the request; none is any.
    pub api: Option<ApiKey>,
    /// A topic that the request must name.
    pub topic: Option<String>,
    /// `client.id` that the client must have.
    pub client: Option<String>,
}

impl Target {
    /// What a caller names: a request of Kafka or `*`, and perhaps a topic or a client.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no such request, or it has no topics.
    pub fn named(api: &str, topic: Option<String>, client: Option<String>) -> Result<Self> {
        let target = Self { api: names::api_by_name(api)?, topic, client };
        match target.api {
            Some(api) if target.topic.is_some() && !names_topics(api) => {
                let name = names::api_name(api);
                Err(Error::Config(format!("{name} names no topic: leave topic out")))
            }
            _ => Ok(target),
        }
    }
}

/// A request, as far as rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its kind; none if this crate does not know it.
    pub api: Option<ApiKey>,
    /// `client.id` of the client.
    pub client_id: &'a str,
}

/// Something that shall go wrong.
#[derive(Debug)]
pub struct Rule {
    /// Which requests.
    pub target: Target,
    /// What happens to them.
    pub action: Action,
    /// To how many; none is to all.
    pub times: Option<u64>,
    hits: AtomicU64,
    removed: watch::Sender<bool>,
}

impl Rule {
    fn new(target: Target, action: Action, times: Option<u64>) -> Self {
        let (hits, removed) = (AtomicU64::new(0), watch::Sender::new(false));
        Self { target, action, times, hits, removed }
    }

    /// To how many requests it has happened.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Acquire)
    }

    /// The rule acts no more, and what it holds goes on.
    pub fn remove(&self) {
        self.removed.send_replace(true);
    }

    /// Returns once the rule is removed.
    pub async fn removed(&self) {
        // The sender is in `self`: it cannot go while this waits.
        let _ = self.removed.subscribe().wait_for(|removed| *removed).await;
    }

    /// Takes one of its times; false if none is left.
    fn take(&self) -> bool {
        let most = self.times.unwrap_or(u64::MAX);
        let one_more = |hits| (hits < most).then_some(hits + 1);
        !*self.removed.borrow()
            && self.hits.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// Gives back a time that was taken for something that cannot be done.
    pub fn give_back(&self) {
        self.hits.fetch_sub(1, Ordering::AcqRel);
    }

    fn matches<T>(&self, head: Head<'_>, topics: &OnceCell<Vec<String>>, names: &T) -> bool
    where
        T: Fn() -> Vec<String>,
    {
        let target = &self.target;
        target.api.is_none_or(|api| head.api == Some(api))
            && target.client.as_ref().is_none_or(|client| client == head.client_id)
            && target.topic.as_ref().is_none_or(|t| topics.get_or_init(names).contains(t))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let api = self.target.api.map_or_else(|| "*".to_owned(), names::api_name);
        write!(f, "{} {api}", self.action.name())?;
        match self.action {
            Action::Fail(code) => write!(f, " with {}", names::error_name(code))?,
            Action::Delay(time, _) => write!(f, " by {} ms", time.as_millis())?,
            Action::Hold(Direction::Requests) => write!(f, " requests")?,
            Action::Hold(Direction::Responses) => write!(f, " responses")?,
            Action::Hold(Direction::Both) | Action::DropResponse | Action::Disconnect => {}
        }
        if let Some(topic) = &self.target.topic {
            write!(f, ", topic {topic}")?;
        }
        if let Some(client) = &self.target.client {
            write!(f, ", client {client}")?;
        }
        match self.times {
            Some(times) => write!(f, ": {} of {times} times", self.hits()),
            None => write!(f, ": {} times", self.hits()),
        }
    }
}

/// What a request or a response goes through before it goes on.
#[derive(Debug, Default)]
pub struct Stage {
    /// It waits until all of these are removed.
    pub holds: Vec<Arc<Rule>>,
    /// Then it waits this long.
    pub delay: Duration,
}

impl Stage {
    /// Waits for the holds, but not the delay.
    pub async fn held(&self) {
        for rule in &self.holds {
            rule.removed().await;
        }
    }

    fn add(&mut self, rule: &Arc<Rule>) {
        match rule.action {
            Action::Hold(_) => self.holds.push(Arc::clone(rule)),
            Action::Delay(time, _) => self.delay += time,
            _ => {}
        }
    }
}

/// How a request ends that does not get its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// No effect, and this error code.
    Fail(i16),
    /// Its effect, and a closed connection.
    DropResponse,
    /// No effect, and a closed connection.
    Disconnect,
}

/// What happens to a request.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Before it is served.
    pub stage: Stage,
    /// How it ends, and by which rule; none is served.
    pub ending: Option<(Ending, Arc<Rule>)>,
}

/// What shall go wrong at one broker or proxy.
#[derive(Debug, Default)]
pub struct Rules(RwLock<Vec<Arc<Rule>>>);

impl Rules {
    /// One more rule, behind the others.
    pub fn add(&self, target: Target, action: Action, times: Option<u64>) -> Arc<Rule> {
        let rule = Arc::new(Rule::new(target, action, times));
        self.0.write().push(Arc::clone(&rule));
        rule
    }

    /// All rules since the last [`Rules::clear`], with those that act no more.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Rule>> {
        self.0.read().clone()
    }

    /// What is held goes on.
    pub fn release(&self) {
        for rule in self.0.read().iter().filter(|r| matches!(r.action, Action::Hold(_))) {
            rule.remove();
        }
    }

    /// Nothing goes wrong any more, and what is held goes on.
    pub fn clear(&self) {
        for rule in self.0.write().drain(..) {
            rule.remove();
        }
    }

    /// True if some rule asks for the topics of requests.
    #[must_use]
    pub fn want_topics(&self) -> bool {
        self.0.read().iter().any(|rule| rule.target.topic.is_some())
    }

    /// What happens to a request; `topics` tells which topics it names, if a rule wants to know.
    pub fn judge(&self, head: Head<'_>, topics: impl Fn() -> Vec<String>) -> Verdict {
        let mut verdict = Verdict::default();
        let named = OnceCell::new();
        for rule in self.0.read().iter() {
            let ending = match rule.action {
                Action::Hold(way) | Action::Delay(_, way) if way.has_requests() => None,
                Action::Hold(_) | Action::Delay(..) => continue,
                Action::Fail(code) => Some(Ending::Fail(code)),
                Action::DropResponse => Some(Ending::DropResponse),
                Action::Disconnect => Some(Ending::Disconnect),
            };
            if ending.is_some() && verdict.ending.is_some()
                || !rule.matches(head, &named, &topics)
                || !rule.take()
            {
                continue;
            }
            match ending {
                Some(ending) => verdict.ending = Some((ending, Arc::clone(rule))),
                None => verdict.stage.add(rule),
            }
        }
        verdict
    }

    /// What the response to a request goes through.
    pub fn judge_response(&self, head: Head<'_>, topics: impl Fn() -> Vec<String>) -> Stage {
        let mut stage = Stage::default();
        let named = OnceCell::new();
        for rule in self.0.read().iter() {
            let is_about_responses = match rule.action {
                Action::Hold(way) | Action::Delay(_, way) => way.has_responses(),
                _ => false,
            };
            if is_about_responses && rule.matches(head, &named, &topics) && rule.take() {
                stage.add(rule);
            }
        }
        stage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const PRODUCE: Head<'_> = Head { api: Some(ApiKey::Produce), client_id: "c" };

    fn to(api: ApiKey) -> Target {
        Target { api: Some(api), ..Target::default() }
    }

    fn ending(rules: &Rules, head: Head<'_>) -> Option<Ending> {
        rules.judge(head, || vec!["t".to_owned()]).ending.map(|(ending, _)| ending)
    }

    #[test]
    fn rules_act_one_after_the_other_as_often_as_they_may() {
        let rules = Rules::default();
        let first = rules.add(to(ApiKey::Produce), Action::Fail(1), Some(2));
        let second = rules.add(Target::default(), Action::Disconnect, Some(1));
        let got: Vec<_> = (0..4).map(|_| ending(&rules, PRODUCE)).collect();
        let failed = Some(Ending::Fail(1));
        assert_eq!(got, [failed, failed, Some(Ending::Disconnect), None]);
        assert_eq!((first.hits(), second.hits()), (2, 1));
        assert_eq!(rules.all().len(), 2, "they can still be asked");
    }

    #[test]
    fn a_rule_looks_at_the_kind_the_topic_and_the_client() {
        let rules = Rules::default();
        let all = |action| {
            let target = Target {
                api: Some(ApiKey::Produce),
                topic: Some("t".into()),
                client: Some("c".into()),
            };
            rules.add(target, action, None)
        };
        let rule = all(Action::Fail(7));
        assert_eq!(ending(&rules, Head { api: Some(ApiKey::Fetch), ..PRODUCE }), None);
        assert_eq!(ending(&rules, Head { client_id: "other", ..PRODUCE }), None);
        assert!(rules.judge(PRODUCE, || vec!["other".into()]).ending.is_none());
        assert_eq!(rule.hits(), 0);
        assert_eq!(ending(&rules, PRODUCE), Some(Ending::Fail(7)));
    }

    #[test]
    fn delays_add_up_and_leave_the_turn_of_others_alone() {
        let rules = Rules::default();
        let time = Duration::from_millis(5);
        rules.add(Target::default(), Action::Delay(time, Direction::Requests), None);
        rules.add(Target::default(), Action::Delay(time, Direction::Both), None);
        rules.add(Target::default(), Action::DropResponse, Some(1));
        let verdict = rules.judge(PRODUCE, Vec::new);
        assert_eq!(verdict.stage.delay, 2 * time);
        assert_eq!(verdict.ending.unwrap().0, Ending::DropResponse);
        assert_eq!(rules.judge_response(PRODUCE, Vec::new).delay, time);
    }

    #[tokio::test]
    async fn what_is_held_goes_on_when_it_is_released() {
        let rules = Arc::new(Rules::default());
        rules.add(Target::default(), Action::Hold(Direction::Requests), None);
        let verdict = rules.judge(PRODUCE, Vec::new);
        let mut waiting = tokio::spawn(async move { verdict.stage.held().await });
        let early = tokio::time::timeout(Duration::from_millis(20), &mut waiting).await;
        assert!(early.is_err(), "nobody has released it");
        rules.release();
        waiting.await.unwrap();
        assert!(rules.judge(PRODUCE, Vec::new).stage.holds.is_empty());
    }

    #[test]
    fn many_threads_together_hit_no_more_often_than_one() {
        let rules = Arc::new(Rules::default());
        let rule = rules.add(Target::default(), Action::Disconnect, Some(100));
        let count = |rules: &Rules| (0..100).filter(|_| ending(rules, PRODUCE).is_some()).count();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let rules = Arc::clone(&rules);
                thread::spawn(move || count(&rules))
            })
            .collect();
        let hits: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!((hits, rule.hits()), (100, 100));
    }

    #[test]
    fn a_rule_reads_as_a_sentence() {
        let rules = Rules::default();
        let target = Target { topic: Some("t".into()), ..to(ApiKey::Fetch) };
        let rule = rules.add(target, Action::Fail(6), Some(3));
        ending(&rules, Head { api: Some(ApiKey::Fetch), client_id: "" });
        assert_eq!(
            rule.to_string(),
            "fail Fetch with NOT_LEADER_OR_FOLLOWER, topic t: 1 of 3 times"
        );
    }
}

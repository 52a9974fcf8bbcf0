//! One client and its node: requests one way, responses the other.

use super::{
    frame::{self, Frames, RequestHead, write_all},
    rewrite,
    server::Shared,
};
use crate::faults::{
    Ending, Head, Rule, Stage,
    refusal::{self, Refusal},
    topics::{self, TopicRef},
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use parking_lot::Mutex;
use std::{collections::VecDeque, io, net::Shutdown, os::fd::AsFd, sync::Arc};
use tokio::{net::TcpStream, sync::Notify, time::sleep};

/// Both ends of a connection. Anyone may end it at any time.
pub(super) struct Ends {
    client: TcpStream,
    upstream: TcpStream,
    ended: Notify,
}

impl Ends {
    /// The two sockets of a client and its node.
    pub(super) fn new(client: TcpStream, upstream: TcpStream) -> Self {
        Self { client, upstream, ended: Notify::new() }
    }

    /// Nothing goes on from here: what is written from now on fails, and both sides see a reset.
    pub(super) fn reset(&self) {
        for socket in [&self.client, &self.upstream] {
            let _ = socket.set_zero_linger();
            let _ = shut_down(socket, Shutdown::Both);
        }
        self.ended.notify_one();
    }
}

/// Shuts a socket down at once, from whatever thread.
fn shut_down(socket: &TcpStream, how: Shutdown) -> io::Result<()> {
    std::net::TcpStream::from(socket.as_fd().try_clone_to_owned()?).shutdown(how)
}

/// A request whose response is awaited.
struct Pending {
    head: RequestHead,
    topics: Vec<String>,
    fate: Fate,
}

/// What becomes of a request's response.
enum Fate {
    /// It goes on.
    GoesOn,
    /// It closes the connection instead.
    Dropped,
    /// Every topic that it names has this error.
    Spoilt(i16, Arc<Rule>),
    /// The node has not been asked: this is the response.
    Made(Bytes),
}

/// What both directions of a connection know.
struct Line<'a> {
    shared: &'a Arc<Shared>,
    ends: &'a Ends,
    pending: Mutex<VecDeque<Pending>>,
    /// There is a response that was made here.
    made: Notify,
}

/// Carries frames until one side is done, or the connection is ended.
pub(super) async fn carry(shared: &Arc<Shared>, ends: &Ends) {
    let line = Line { shared, ends, pending: Mutex::default(), made: Notify::new() };
    let both_ways = async {
        tokio::select! {
            // The way of the responses ends when the node has answered everything it was asked.
            done = line.responses() => done,
            done = async {
                line.requests().await?;
                std::future::pending().await
            } => done,
        }
    };
    tokio::select! {
        done = both_ways => {
            if let Err(error) = done {
                tracing::debug!(%error, "proxied connection ends");
            }
        }
        () = ends.ended.notified() => {}
    }
}

/// What a rule makes of a request that is to fail.
fn refused(frame: &Bytes, head: &RequestHead, code: i16, rule: Arc<Rule>) -> io::Result<Fate> {
    if head.api == Some(ApiKey::Metadata) {
        return Ok(Fate::Spoilt(code, rule));
    }
    let refusal = || {
        let api = head.api?;
        let body = frame::body(frame, api, head.version)?;
        let refusal = refusal::refuse(api, head.version, body, code).ok()??;
        Some((api, refusal))
    };
    match refusal() {
        Some((_, Refusal::Silence)) => Err(wanted()),
        Some((api, Refusal::Response(body))) => {
            frame::response(api, head, &body).map(Fate::Made).map_err(unreadable)
        }
        None | Some((_, Refusal::NoPlace)) => {
            rule.give_back();
            Ok(Fate::GoesOn)
        }
    }
}

fn unreadable(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// The error that ends a connection because a rule says so.
fn wanted() -> io::Error {
    io::Error::other("a test wants it closed")
}

impl Line<'_> {
    async fn requests(&self) -> io::Result<()> {
        let mut frames = Frames::default();
        while let Some(frame) = frames.next(&self.ends.client).await? {
            if let Some(head) = RequestHead::parse(&frame) {
                let topics = self.topics_of(&frame, &head);
                let verdict = self.shared.rules.judge(about(&head), || topics.clone());
                wait(verdict.stage).await;
                let fate = match verdict.ending {
                    None => Fate::GoesOn,
                    Some((Ending::Disconnect, _)) => return Err(wanted()),
                    Some((Ending::DropResponse, _)) => Fate::Dropped,
                    Some((Ending::Fail(code), rule)) => refused(&frame, &head, code, rule)?,
                };
                let is_made = matches!(fate, Fate::Made(_));
                if !frame::is_without_response(&frame, &head) {
                    self.pending.lock().push_back(Pending { head, topics, fate });
                } else if matches!(fate, Fate::Dropped) {
                    write_all(&self.ends.upstream, &frame).await?;
                    return Err(wanted());
                }
                if is_made {
                    self.made.notify_one();
                    continue;
                }
            }
            write_all(&self.ends.upstream, &frame).await?;
        }
        // What was asked may still be answered.
        shut_down(&self.ends.upstream, Shutdown::Write)
    }

    async fn responses(&self) -> io::Result<()> {
        let mut frames = Frames::default();
        let mut has_client = true;
        loop {
            let arrived = tokio::select! {
                frame = frames.next(&self.ends.upstream) => frame?,
                () = self.made.notified() => Some(Bytes::new()),
            };
            let Some(frame) = arrived else { return Ok(()) };
            // Responses that were made here go out behind those of the requests before theirs.
            self.write_made(&mut has_client).await;
            if !frame.is_empty() {
                let frame = match self.answered(&frame) {
                    None => frame,
                    Some(pending) => {
                        self.wait_for(&pending).await;
                        self.passed(frame, &pending)?
                    }
                };
                self.write(&frame, &mut has_client).await;
                self.write_made(&mut has_client).await;
            }
        }
    }

    async fn write_made(&self, has_client: &mut bool) {
        while let Some((pending, made)) = self.made_next() {
            self.wait_for(&pending).await;
            self.write(&made, has_client).await;
        }
    }

    /// Requests of a client that has gone still reach the node, which answers them.
    async fn write(&self, frame: &[u8], has_client: &mut bool) {
        *has_client = *has_client && write_all(&self.ends.client, frame).await.is_ok();
    }

    async fn wait_for(&self, pending: &Pending) {
        let topics = || pending.topics.clone();
        wait(self.shared.rules.judge_response(about(&pending.head), topics)).await;
    }

    /// The response that is next and was made here, with its request.
    fn made_next(&self) -> Option<(Pending, Bytes)> {
        let mut pending = self.pending.lock();
        let Fate::Made(response) = &pending.front()?.fate else { return None };
        let response = response.clone();
        Some((pending.pop_front()?, response))
    }

    /// What goes on of a node's response.
    fn passed(&self, frame: Bytes, pending: &Pending) -> io::Result<Bytes> {
        let head = &pending.head;
        let frame = match &pending.fate {
            Fate::Dropped => return Err(wanted()),
            Fate::GoesOn | Fate::Made(_) => frame,
            Fate::Spoilt(code, rule) => {
                let spoilt = rewrite::spoil(head.version, &frame, *code).map_err(unreadable)?;
                spoilt.map_or_else(
                    || {
                        rule.give_back();
                        frame
                    },
                    BytesMut::freeze,
                )
            }
        };
        self.rewritten(frame, head)
    }

    fn topics_of(&self, frame: &Bytes, head: &RequestHead) -> Vec<String> {
        if !self.shared.rules.want_topics() {
            return Vec::new();
        }
        let named = || {
            let api = head.api?;
            topics::named(api, head.version, &frame::body(frame, api, head.version)?)
        };
        let name = |topic| match topic {
            TopicRef::Name(name) => Some(name),
            TopicRef::Id(id) => self.shared.nodes.topic(id),
        };
        named().unwrap_or_default().into_iter().filter_map(name).collect()
    }

    /// The request that a response answers.
    fn answered(&self, frame: &Bytes) -> Option<Pending> {
        let id = frame.get(frame::LENGTH_BYTES..)?.first_chunk().copied();
        let id = i32::from_be_bytes(id?);
        let mut pending = self.pending.lock();
        let at = pending.iter().position(|p| p.head.correlation_id == id)?;
        pending.drain(..at);
        pending.pop_front()
    }

    fn rewritten(&self, frame: Bytes, head: &RequestHead) -> io::Result<Bytes> {
        let Some(api) = head.api.filter(|api| rewrite::is_read(*api, head.version)) else {
            return Ok(frame);
        };
        match rewrite::rewrite(api, head.version, &frame, self.shared) {
            Ok(None) => Ok(frame),
            Ok(Some(changed)) => Ok(changed.freeze()),
            Err(reason) => {
                // It may name nodes: clients would leave the proxy.
                let version = head.version;
                tracing::warn!(?api, version, reason, "proxy cannot read a response");
                Err(unreadable(reason))
            }
        }
    }
}

fn about(head: &RequestHead) -> Head<'_> {
    Head { api: head.api, client_id: &head.client_id }
}

async fn wait(stage: Stage) {
    stage.held().await;
    if !stage.delay.is_zero() {
        sleep(stage.delay).await;
    }
}

//! One client and its node: requests one way, responses the other.

use super::{
    frame::{self, Frames, RequestHead, write_all},
    rewrite,
    server::Shared,
};
use crate::faults::{
    Ending, Head, Stage,
    topics::{self, TopicRef},
};
use bytes::Bytes;
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
    /// Its response closes the connection instead of going on.
    is_dropped: bool,
}

/// What both directions of a connection know.
struct Line<'a> {
    shared: &'a Arc<Shared>,
    ends: &'a Ends,
    pending: Mutex<VecDeque<Pending>>,
}

/// Carries frames until one side is done, or the connection is ended.
pub(super) async fn carry(shared: &Arc<Shared>, ends: &Ends) {
    let line = Line { shared, ends, pending: Mutex::default() };
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
                let ending = verdict.ending.map(|(ending, _)| ending);
                if ending == Some(Ending::Disconnect) {
                    return Err(wanted());
                }
                let is_dropped = ending == Some(Ending::DropResponse);
                if frame::is_without_response(&frame, &head) {
                    if is_dropped {
                        write_all(&self.ends.upstream, &frame).await?;
                        return Err(wanted());
                    }
                } else {
                    self.pending.lock().push_back(Pending { head, topics, is_dropped });
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
        while let Some(frame) = frames.next(&self.ends.upstream).await? {
            let frame = match self.answered(&frame) {
                Some(pending) => {
                    let rules = &self.shared.rules;
                    let topics = || pending.topics.clone();
                    wait(rules.judge_response(about(&pending.head), topics)).await;
                    if pending.is_dropped {
                        return Err(wanted());
                    }
                    self.rewritten(frame, &pending.head)?
                }
                None => frame,
            };
            // Requests of a client that has gone still reach the node, which answers them.
            has_client = has_client && write_all(&self.ends.client, &frame).await.is_ok();
        }
        Ok(())
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
                Err(io::Error::new(io::ErrorKind::InvalidData, reason))
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

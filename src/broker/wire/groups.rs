//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit.

use super::{Context, code, text};
use crate::broker::{
    cluster::Coordinated,
    group::{Answer, Committed, Join, JoinRefused, Joined, Sync, Synced},
};
use kafka_protocol::{
    ResponseError,
    messages::{
        HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
        LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest, OffsetCommitResponse,
        SyncGroupRequest, SyncGroupResponse,
        join_group_response::JoinGroupResponseMember,
        leave_group_request::MemberIdentity,
        leave_group_response::MemberResponse,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
    },
    protocol::StrBytes,
};
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Longest session timeout of a member, in ms.
const MAX_SESSION_TIMEOUT_MS: i32 = 1_800_000;
/// First version of OffsetCommit that members of the `consumer` protocol may use.
const EPOCHS: i16 = 9;
/// Most bytes that a client may store with a committed offset.
pub(super) const MAX_METADATA_BYTES: usize = 4096;

/// An error if nobody can be a member of the group here.
fn check_group(context: &Context<'_>, group: &str) -> Result<(), ResponseError> {
    if group.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    context.check_coordinator(Coordinated::Group(group))
}

/// A client joins a group; answered when the generation is complete.
pub(super) async fn join_group(
    context: &Context<'_>,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let group = request.group_id.to_string();
    let refused = |error| {
        let member_id = request.member_id.to_string();
        join_response(context.version, Err(JoinRefused { error, member_id }))
    };
    if let Err(error) = check_group(context, &group) {
        return refused(error);
    }
    let shortest = context.broker.config.min_session_timeout_ms;
    if !(shortest..=MAX_SESSION_TIMEOUT_MS).contains(&request.session_timeout_ms) {
        return refused(ResponseError::InvalidSessionTimeout);
    }
    let member_id = request.member_id.clone();
    let join = join(context, request);
    let (reply, answer) = oneshot::channel();
    let may_create = join.member_id.is_empty();
    if let Err(error) = context.broker.groups.join(&group, join, reply, may_create) {
        let member_id = member_id.to_string();
        return join_response(context.version, Err(JoinRefused { error, member_id }));
    }
    match answer.await {
        Ok(Answer::Joined(result)) => {
            let joined = match &result {
                Ok(joined) => &joined.member_id,
                Err(refused) => &refused.member_id,
            };
            context.broker.groups.heard(&group, joined, context.peer);
            join_response(context.version, result)
        }
        _ => {
            let (error, member_id) = (ResponseError::UnknownMemberId, member_id.to_string());
            join_response(context.version, Err(JoinRefused { error, member_id }))
        }
    }
}

fn join(context: &Context<'_>, request: JoinGroupRequest) -> Join {
    let millis = |ms: i32| Duration::from_millis(ms.max(0) as u64);
    let rebalance_ms = match context.version {
        0 => request.session_timeout_ms,
        _ => request.rebalance_timeout_ms,
    };
    let prefix = request.group_instance_id.as_deref().unwrap_or(context.client_id);
    Join {
        new_member_id: format!("{prefix}-{}", Uuid::new_v4()),
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        client_id: context.client_id.to_owned(),
        client_host: context.client_host.to_owned(),
        session_timeout: millis(request.session_timeout_ms),
        rebalance_timeout: millis(rebalance_ms),
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|p| (p.name.to_string(), p.metadata))
            .collect(),
        takes_id_first: context.version >= 4,
        may_skip_assignment: context.version >= 9,
    }
}

fn join_response(version: i16, result: Result<Joined, JoinRefused>) -> JoinGroupResponse {
    // Old versions cannot say that there is no protocol.
    let no_protocol = (version < 7).then(StrBytes::new);
    let mut response = JoinGroupResponse::default();
    match result {
        Err(refused) => {
            response.error_code = refused.error.code();
            response.generation_id = -1;
            response.protocol_name = no_protocol;
            response.member_id = text(refused.member_id);
        }
        Ok(joined) => {
            response.generation_id = joined.generation;
            response.protocol_name = Some(text(joined.protocol));
            response.leader = text(joined.leader);
            response.member_id = text(joined.member_id);
            let member = |m: crate::broker::group::JoinedMember| {
                let member = JoinGroupResponseMember::default()
                    .with_member_id(text(m.id))
                    .with_metadata(m.metadata);
                if version >= 5 {
                    member.with_group_instance_id(m.instance_id.map(text))
                } else {
                    member
                }
            };
            response.members = joined.members.into_iter().map(member).collect();
            if version >= 7 {
                response.protocol_type = Some(text(joined.protocol_type));
            }
            if version >= 9 {
                response.skip_assignment = joined.skip_assignment;
            }
        }
    }
    response
}

/// A member asks for its assignment; answered when the leader has assigned.
pub(super) async fn sync_group(
    context: &Context<'_>,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    let (reply, answer) = oneshot::channel();
    let string = |s: Option<StrBytes>| s.map(|s| s.to_string());
    let sync = Sync {
        member_id: request.member_id.to_string(),
        instance_id: string(request.group_instance_id),
        generation: request.generation_id,
        protocol_type: string(request.protocol_type),
        protocol: string(request.protocol_name),
        assignments: request
            .assignments
            .into_iter()
            .map(|a| (a.member_id.to_string(), a.assignment))
            .collect(),
    };
    let group = request.group_id.to_string();
    if let Err(error) = check_group(context, &group) {
        return SyncGroupResponse::default().with_error_code(error.code());
    }
    let groups = &context.broker.groups;
    groups.heard(&group, &sync.member_id, context.peer);
    let known = groups.with_existing(&group, |group, now| group.sync(sync, reply, now));
    let result: Result<Synced, ResponseError> = match known {
        None => Err(ResponseError::UnknownMemberId),
        Some(()) => match answer.await {
            Ok(Answer::Synced(result)) => result,
            _ => Err(ResponseError::UnknownMemberId),
        },
    };
    match result {
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
        Ok(synced) => {
            let response = SyncGroupResponse::default().with_assignment(synced.assignment);
            if context.version >= 5 {
                response
                    .with_protocol_type(Some(text(synced.protocol_type)))
                    .with_protocol_name(Some(text(synced.protocol)))
            } else {
                response
            }
        }
    }
}

/// A member is alive.
pub(super) fn heartbeat(context: &Context<'_>, request: HeartbeatRequest) -> HeartbeatResponse {
    let instance_id = request.group_instance_id.as_deref();
    let result = check_group(context, &request.group_id).and_then(|()| {
        let groups = &context.broker.groups;
        groups.heard(&request.group_id, &request.member_id, context.peer);
        let result = groups.with_existing(&request.group_id, |group, now| {
            group.heartbeat(&request.member_id, instance_id, request.generation_id, now)
        });
        result.unwrap_or(Err(ResponseError::UnknownMemberId))
    });
    HeartbeatResponse::default().with_error_code(code(result))
}

/// Members go.
pub(super) fn leave_group(context: &Context<'_>, request: LeaveGroupRequest) -> LeaveGroupResponse {
    if let Err(error) = check_group(context, &request.group_id) {
        return LeaveGroupResponse::default().with_error_code(error.code());
    }
    let leave = |member: &MemberIdentity| {
        let instance_id = member.group_instance_id.as_deref();
        code(context.broker.groups.leave(&request.group_id, &member.member_id, instance_id))
    };
    if context.version < 3 {
        let member = MemberIdentity::default().with_member_id(request.member_id.clone());
        return LeaveGroupResponse::default().with_error_code(leave(&member));
    }
    let response = |member: &MemberIdentity| {
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(leave(member))
    };
    let members = request.members.iter().map(response).collect();
    LeaveGroupResponse::default().with_members(members)
}

/// A group commits offsets.
pub(super) fn offset_commit(
    context: &Context<'_>,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let broker = context.broker;
    let (group, generation) = (&*request.group_id, request.generation_id_or_member_epoch);
    let instance_id = request.group_instance_id.as_deref();
    let exists = |topic: &str, number| broker.topics.partition(topic, number).is_some();
    let any = |t: &OffsetCommitRequestTopic| {
        t.partitions.iter().any(|p| exists(&t.name, p.partition_index))
    };
    let mut allowed = if !request.topics.iter().any(any) {
        // Kafka looks for the partitions first, and asks the group only about those it finds.
        Ok(())
    } else if !context.coordinates(Coordinated::Group(group)) {
        // The empty group is one like others, as long as nobody wants to join it.
        Err(ResponseError::NotCoordinator)
    } else if generation >= 0 && context.version < EPOCHS && broker.groups.has_consumers(group) {
        Err(ResponseError::UnsupportedVersion)
    } else {
        let allowed = broker.groups.may_commit(group, &request.member_id, instance_id, generation);
        allowed.map_err(|error| match error {
            // Old clients do not know that a group may be missing.
            ResponseError::GroupIdNotFound if context.version < EPOCHS => {
                ResponseError::IllegalGeneration
            }
            other => other,
        })
    };
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let number = partition.partition_index;
            let result = if exists(&topic.name, number) {
                allowed.and_then(|()| committed(context.version, partition))
            } else {
                Err(ResponseError::UnknownTopicOrPartition)
            };
            let response = OffsetCommitResponsePartition::default().with_partition_index(number);
            partitions
                .push(response.with_error_code(code(result.as_ref().map(|_| ()).map_err(|e| *e))));
            if let Ok(committed) = result {
                offsets.push((topic.name.to_string(), number, Some(committed)));
            }
        }
        topics.push((topic.name.clone(), partitions));
    }
    if !offsets.is_empty()
        && let Err(error) = broker.groups.commit(group, offsets)
    {
        tracing::error!(%error, group = group.as_str(), "cannot write committed offsets");
        allowed = Err(ResponseError::KafkaStorageError);
        let failed = code(allowed);
        topics.iter_mut().flat_map(|(_, ps)| ps).for_each(|p| p.error_code = failed);
    }
    let topic = |(name, partitions)| {
        OffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions)
    };
    OffsetCommitResponse::default().with_topics(topics.into_iter().map(topic).collect())
}

fn committed(
    version: i16,
    partition: &OffsetCommitRequestPartition,
) -> Result<Committed, ResponseError> {
    let metadata = partition.committed_metadata.as_ref().map(|m| m.to_string()).unwrap_or_default();
    if metadata.len() > MAX_METADATA_BYTES {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let leader_epoch = if version >= 6 { partition.committed_leader_epoch } else { -1 };
    Ok(Committed { offset: partition.committed_offset, leader_epoch, metadata })
}

//! ConsumerGroupHeartbeat and ConsumerGroupDescribe: groups whose partitions the broker assigns.

use super::{Context, access::Operations, text, topic_name};
use crate::broker::{
    cluster::Coordinated,
    consumer_group::{
        Assignor, ConsumerGroup, Heartbeat, JOIN_EPOCH, LEAVE_PLACE_EPOCH, Member, Partitions,
        Refused, by_topic,
    },
    topics::Catalog,
};
use kafka_protocol::{
    ResponseError,
    messages::{
        ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
        ConsumerGroupHeartbeatResponse, GroupId, consumer_group_describe_response as described,
        consumer_group_heartbeat_response::{Assignment, TopicPartitions},
    },
    protocol::StrBytes,
};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// First version in which the client makes its member id.
const OWN_ID: i16 = 1;
/// What a description says of a member that speaks the `consumer` protocol.
const CONSUMER_MEMBER: i8 = 1;

/// A member joins, stays or leaves.
pub(super) fn heartbeat(
    context: &Context<'_>,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let broker = context.broker;
    let group = request.group_id.clone();
    let answer = check(context.version, &request)
        .and_then(|()| {
            let wrong_node =
                |error| Refused::new(error, "This node does not coordinate the group.");
            context.check_coordinator(Coordinated::Group(&group)).map_err(wrong_node)
        })
        .and_then(|()| {
            let catalog = broker.topics.catalog();
            let beat = beat(context, request)?;
            broker.groups.consumer_heartbeat(&group, &beat, &catalog, context.peer)
        });
    let response = ConsumerGroupHeartbeatResponse::default();
    match answer {
        Err(refused) => response
            .with_error_code(refused.error.code())
            .with_error_message(Some(text(refused.message))),
        Ok(answer) => {
            let interval = broker.config.consumer_heartbeat_interval_ms;
            let response = response
                .with_member_id(Some(text(answer.member_id)))
                .with_member_epoch(answer.epoch);
            if answer.epoch < JOIN_EPOCH {
                return response;
            }
            response
                .with_heartbeat_interval_ms(i32::try_from(interval).unwrap_or(i32::MAX))
                .with_assignment(answer.assigned.map(assignment))
        }
    }
}

/// What a request must say, whatever group it is for.
fn check(version: i16, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refused> {
    let invalid = |message: &str| Err(Refused::new(ResponseError::InvalidRequest, message));
    let is_empty = |text: &Option<StrBytes>| text.as_ref().is_some_and(|t| t.is_empty());
    let is_joining = request.member_epoch == JOIN_EPOCH;
    if (version >= OWN_ID || !is_joining) && request.member_id.is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    if is_joining {
        if request.rebalance_timeout_ms == -1 {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when \
                 (re-)joining.",
            );
        }
    } else if request.member_epoch == LEAVE_PLACE_EPOCH {
        if request.instance_id.is_none() {
            return invalid("InstanceId can't be null.");
        }
    } else if request.member_epoch < LEAVE_PLACE_EPOCH {
        return invalid("MemberEpoch is invalid.");
    }
    Ok(())
}

fn beat(
    context: &Context<'_>,
    request: ConsumerGroupHeartbeatRequest,
) -> Result<Heartbeat, Refused> {
    let string = |s: Option<StrBytes>| s.map(|s| s.to_string());
    let assignor = request.server_assignor.map(|name| assignor(&name)).transpose()?;
    let partitions = request.topic_partitions.map(|topics| {
        topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.topic_id, *p))).collect()
    });
    let member_id = match request.member_id.to_string() {
        id if id.is_empty() => Uuid::new_v4().to_string(),
        id => id,
    };
    Ok(Heartbeat {
        member_id,
        instance_id: string(request.instance_id),
        epoch: request.member_epoch,
        rack_id: string(request.rack_id),
        client_id: context.client_id.to_owned(),
        client_host: context.client_host.to_owned(),
        rebalance_timeout: u64::try_from(request.rebalance_timeout_ms)
            .ok()
            .map(Duration::from_millis),
        topics: request
            .subscribed_topic_names
            .map(|names| names.iter().map(|name| name.to_string()).collect()),
        pattern: string(request.subscribed_topic_regex),
        assignor,
        owned: partitions,
    })
}

fn assignor(name: &str) -> Result<Assignor, Refused> {
    Assignor::named(name).ok_or_else(|| {
        let names = Assignor::ALL.map(Assignor::name).join(", ");
        Refused::new(
            ResponseError::UnsupportedAssignor,
            format!("ServerAssignor {name} is not supported. Supported assignors: {names}."),
        )
    })
}

fn assignment(partitions: Partitions) -> Assignment {
    let topic = |(id, numbers): (Uuid, Vec<i32>)| {
        TopicPartitions::default().with_topic_id(id).with_partitions(numbers)
    };
    let topics = by_topic(&partitions).into_iter().map(topic).collect();
    Assignment::default().with_topic_partitions(topics)
}

/// Members, epochs and targets of groups.
pub(super) fn describe(
    context: &Context<'_>,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let catalog = context.broker.topics.catalog();
    let describe = |id: GroupId| {
        let response = described::DescribedGroup::default()
            .with_group_id(id.clone())
            .with_authorized_operations(
                Operations::GROUP.if_asked(request.include_authorized_operations),
            );
        if id.is_empty() {
            return response.with_error_code(ResponseError::InvalidGroupId.code());
        }
        if let Err(error) = context.check_coordinator(Coordinated::Group(&id)) {
            return response.with_error_code(error.code());
        }
        let look = |group: &ConsumerGroup| fill(context.version, response.clone(), group, &catalog);
        context.broker.groups.look_at_consumers(&id, look).unwrap_or_else(|refused| {
            response
                .clone()
                .with_error_code(refused.error.code())
                .with_error_message(Some(text(refused.message)))
        })
    };
    let groups = request.group_ids.into_iter().map(describe).collect();
    ConsumerGroupDescribeResponse::default().with_groups(groups)
}

fn fill(
    version: i16,
    response: described::DescribedGroup,
    group: &ConsumerGroup,
    catalog: &Catalog,
) -> described::DescribedGroup {
    let names: BTreeMap<Uuid, &str> =
        catalog.topics.iter().map(|(name, (id, _))| (*id, name.as_str())).collect();
    let assignment = |partitions: &Partitions| {
        // Topics that are gone have no name to show.
        let topics = by_topic(partitions).into_iter().filter_map(|(id, numbers)| {
            let topic = described::TopicPartitions::default()
                .with_topic_id(id)
                .with_topic_name(topic_name(*names.get(&id)?))
                .with_partitions(numbers);
            Some(topic)
        });
        described::Assignment::default().with_topic_partitions(topics.collect())
    };
    let member = |m: &Member| {
        let topics = m.subscription.topics.iter().map(topic_name).collect();
        let response = described::Member::default()
            .with_member_id(text(&m.id))
            .with_instance_id(m.instance_id.as_ref().map(text))
            .with_rack_id(m.rack_id.as_ref().map(text))
            .with_member_epoch(m.epoch)
            .with_client_id(text(&m.client_id))
            .with_client_host(text(&m.client_host))
            .with_subscribed_topic_names(topics)
            .with_subscribed_topic_regex(Some(text(m.subscription.pattern().unwrap_or_default())))
            .with_assignment(assignment(&m.assigned))
            .with_target_assignment(assignment(&m.target));
        if version >= 1 { response.with_member_type(CONSUMER_MEMBER) } else { response }
    };
    response
        .with_group_state(text(group.state().name()))
        .with_group_epoch(group.epoch())
        .with_assignment_epoch(group.assignment_epoch())
        .with_assignor_name(text(group.assignor().name()))
        .with_members(group.members().map(member).collect())
}

//! OffsetFetch, OffsetDelete, DescribeGroups, ListGroups, DeleteGroups.

use super::{Context, access::Operations, code, text, topic_name};
use crate::broker::{
    cluster::Coordinated,
    group::{Committed, CommittedOffsets, Group},
    groups::Reply,
    transaction::OpenOffsets,
};
use kafka_protocol::{
    ResponseError,
    messages::{
        DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
        GroupId, ListGroupsRequest, ListGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse,
        OffsetFetchRequest, OffsetFetchResponse,
        delete_groups_response::DeletableGroupResult,
        describe_groups_response::{DescribedGroup, DescribedGroupMember},
        list_groups_response::ListedGroup,
        offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic},
        offset_fetch_response::{
            OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
            OffsetFetchResponseTopic, OffsetFetchResponseTopics,
        },
    },
    protocol::StrBytes,
};

/// First version that asks for several groups at once.
const BATCHED: i16 = 8;
/// First version in which the caller may say which member it is.
const EPOCHS: i16 = 9;
/// What clients call groups in which members assign.
const CLASSIC: &str = "classic";
/// What clients call groups in which the broker assigns, and the kind of their members.
const CONSUMER: &str = "consumer";

/// What was committed for a partition; `None` if nothing was.
type Answer = Result<Option<Committed>, ResponseError>;
/// A topic's partitions with what was committed for each.
type Found = Vec<(String, Vec<(i32, Answer)>)>;

/// What groups have committed.
pub(super) fn offset_fetch(
    context: &Context<'_>,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let check = |group: &GroupId| context.check_coordinator(Coordinated::Group(group));
    let is_stable = request.require_stable;
    if context.version < BATCHED {
        if let Err(error) = check(&request.group_id) {
            return old_offset_fetch_error(context.version, &request, error);
        }
        let wanted = request.topics.map(|topics| {
            topics.into_iter().map(|t| (t.name.to_string(), t.partition_indexes)).collect()
        });
        let topics = find(context, &request.group_id, wanted, is_stable).into_iter();
        let topics = topics.map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|(number, answer)| {
                let (offset, epoch, metadata) = parts(&answer);
                let response = OffsetFetchResponsePartition::default()
                    .with_partition_index(number)
                    .with_error_code(code(answer.map(|_| ())))
                    .with_committed_offset(offset)
                    .with_metadata(Some(metadata));
                if context.version >= 5 {
                    response.with_committed_leader_epoch(epoch)
                } else {
                    response
                }
            });
            OffsetFetchResponseTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(partitions.collect())
        });
        return OffsetFetchResponse::default().with_topics(topics.collect());
    }
    let group =
        |wanted: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup| {
            if let Err(error) = check(&wanted.group_id) {
                return OffsetFetchResponseGroup::default()
                    .with_group_id(wanted.group_id)
                    .with_error_code(error.code());
            }
            let topics = wanted.topics.map(|topics| {
                topics.into_iter().map(|t| (t.name.to_string(), t.partition_indexes)).collect()
            });
            if context.version >= EPOCHS {
                let member_id = wanted.member_id.as_deref();
                let groups = &context.broker.groups;
                let allowed = groups.may_fetch(&wanted.group_id, member_id, wanted.member_epoch);
                if let Err(error) = allowed {
                    return OffsetFetchResponseGroup::default()
                        .with_group_id(wanted.group_id)
                        .with_error_code(error.code());
                }
            }
            let topics = find(context, &wanted.group_id, topics, is_stable).into_iter();
            let topics = topics.map(|(topic, partitions)| {
                let partitions = partitions.into_iter().map(|(number, answer)| {
                    let (offset, epoch, metadata) = parts(&answer);
                    OffsetFetchResponsePartitions::default()
                        .with_partition_index(number)
                        .with_error_code(code(answer.map(|_| ())))
                        .with_committed_offset(offset)
                        .with_committed_leader_epoch(epoch)
                        .with_metadata(Some(metadata))
                });
                OffsetFetchResponseTopics::default()
                    .with_name(topic_name(topic))
                    .with_partitions(partitions.collect())
            });
            OffsetFetchResponseGroup::default()
                .with_group_id(wanted.group_id)
                .with_topics(topics.collect())
        };
    let groups = request.groups.into_iter().map(group).collect();
    OffsetFetchResponse::default().with_groups(groups)
}

/// Before version 2 the error stands at every partition.
fn old_offset_fetch_error(
    version: i16,
    request: &OffsetFetchRequest,
    error: ResponseError,
) -> OffsetFetchResponse {
    if version >= 2 {
        return OffsetFetchResponse::default().with_error_code(error.code());
    }
    let partition = |number: &i32| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(*number)
            .with_committed_offset(-1)
            .with_metadata(Some(StrBytes::new()))
            .with_error_code(error.code())
    };
    let topics = request.topics.iter().flatten().map(|topic| {
        OffsetFetchResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partition_indexes.iter().map(partition).collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

/// The committed offsets of the wanted partitions, or of all that there are. Who wants only stable
/// ones is to ask again where an open transaction may change them.
fn find(
    context: &Context<'_>,
    group: &str,
    wanted: Option<Vec<(String, Vec<i32>)>>,
    is_stable: bool,
) -> Found {
    // In front of what the group has: an offset leaves its transaction only when the group has it.
    let open = is_stable.then(|| context.broker.transactions.open_offsets(group));
    let answer = |topic: &str, partition: i32, committed: Option<&Committed>| {
        let is_open = |open: &OpenOffsets| open.get(topic).is_some_and(|p| p.contains(&partition));
        if open.as_ref().is_some_and(is_open) {
            return (partition, Err(ResponseError::UnstableOffsetCommit));
        }
        (partition, Ok(committed.cloned()))
    };
    let look = |offsets: &CommittedOffsets| match &wanted {
        None => offsets
            .iter()
            .map(|(topic, partitions)| {
                let partitions = partitions.iter().map(|(n, c)| answer(topic, *n, Some(c)));
                (topic.to_owned(), partitions.collect())
            })
            .collect(),
        Some(wanted) => wanted
            .iter()
            .map(|(topic, numbers)| {
                let find = |n: &i32| answer(topic, *n, offsets.get(topic, *n));
                (topic.clone(), numbers.iter().map(find).collect())
            })
            .collect(),
    };
    let found = context.broker.groups.with_existing(group, |group, _| look(&group.offsets));
    found.unwrap_or_else(|| look(&CommittedOffsets::default()))
}

fn parts(answer: &Answer) -> (i64, i32, StrBytes) {
    match answer {
        Ok(Some(c)) => (c.offset, c.leader_epoch, text(&c.metadata)),
        Ok(None) | Err(_) => (-1, -1, StrBytes::new()),
    }
}

/// Forgets committed offsets of partitions whose topics nobody in the group subscribes to.
pub(super) fn offset_delete(
    context: &Context<'_>,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let groups = &context.broker.groups;
    let names: Vec<&str> = request.topics.iter().map(|t| &*t.name.0).collect();
    let subscribed = context
        .check_coordinator(Coordinated::Group(&request.group_id))
        .and_then(|()| groups.subscribed(&request.group_id, &names));
    let subscribed = match subscribed {
        Ok(subscribed) => subscribed,
        Err(error) => return OffsetDeleteResponse::default().with_error_code(error.code()),
    };
    let mut gone = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for (topic, is_subscribed) in request.topics.into_iter().zip(subscribed) {
        let partition = |number: i32| {
            let response = OffsetDeleteResponsePartition::default().with_partition_index(number);
            let is_there = context.broker.topics.partition(&topic.name, number).is_some();
            if !is_there {
                return response.with_error_code(ResponseError::UnknownTopicOrPartition.code());
            }
            if is_subscribed {
                return response.with_error_code(ResponseError::GroupSubscribedToTopic.code());
            }
            gone.push((topic.name.to_string(), number, None));
            response
        };
        let numbers = topic.partitions.iter().map(|p| p.partition_index);
        let partitions = numbers.map(partition).collect();
        topics.push(
            OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions),
        );
    }
    if let Err(error) = groups.commit(&request.group_id, gone) {
        tracing::error!(%error, "cannot delete committed offsets");
        let error = ResponseError::KafkaStorageError.code();
        return OffsetDeleteResponse::default().with_error_code(error);
    }
    OffsetDeleteResponse::default().with_topics(topics)
}

/// Members and state of groups.
pub(super) fn describe_groups(
    context: &Context<'_>,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let describe = |id: GroupId| {
        if let Err(error) = context.check_coordinator(Coordinated::Group(&id)) {
            return DescribedGroup::default().with_group_id(id).with_error_code(error.code());
        }
        let groups = &context.broker.groups;
        let is_classic = !groups.has_consumers(&id);
        let found = groups.with_existing(&id, |group, _| described(context, group));
        let mut response = found.filter(|_| is_classic).unwrap_or_else(|| {
            let missing = DescribedGroup::default().with_group_state(text("Dead"));
            if context.version >= 6 {
                let message = match is_classic {
                    true => format!("Group {} not found.", &**id),
                    false => format!("Group {} is not a classic group.", &**id),
                };
                missing
                    .with_error_code(ResponseError::GroupIdNotFound.code())
                    .with_error_message(Some(text(message)))
            } else {
                missing
            }
        });
        if context.version >= 3 {
            response.authorized_operations =
                Operations::GROUP.if_asked(request.include_authorized_operations);
        }
        response.with_group_id(id)
    };
    let groups = request.groups.into_iter().map(describe).collect();
    DescribeGroupsResponse::default().with_groups(groups)
}

fn described(context: &Context<'_>, group: &Group<Reply>) -> DescribedGroup {
    let member = |m: &crate::broker::group::Member<Reply>| {
        let response = DescribedGroupMember::default()
            .with_member_id(text(&m.id))
            .with_client_id(text(&m.client_id))
            .with_client_host(text(&m.client_host))
            .with_member_metadata(group.metadata(m))
            .with_member_assignment(m.assignment.clone());
        if context.version >= 4 {
            response.with_group_instance_id(m.instance_id.as_ref().map(text))
        } else {
            response
        }
    };
    DescribedGroup::default()
        .with_group_state(text(group.state().name()))
        .with_protocol_type(text(group.protocol_type()))
        .with_protocol_data(text(group.protocol()))
        .with_members(group.members().iter().map(member).collect())
}

/// All groups, or those in the wanted states and of the wanted types.
pub(super) fn list_groups(context: &Context<'_>, request: ListGroupsRequest) -> ListGroupsResponse {
    let is_wanted = |filter: &[StrBytes], word: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(word))
    };
    let mut groups = Vec::new();
    context.broker.groups.each(|id, group, consumers| {
        let (state, kind, protocol_type) = match consumers {
            None => (group.state().name(), CLASSIC, group.protocol_type()),
            Some(consumers) => (consumers.state().name(), CONSUMER, CONSUMER),
        };
        if !context.coordinates(Coordinated::Group(id)) {
            return;
        }
        if !is_wanted(&request.states_filter, state) || !is_wanted(&request.types_filter, kind) {
            return;
        }
        let mut listed = ListedGroup::default()
            .with_group_id(GroupId(text(id)))
            .with_protocol_type(text(protocol_type));
        if context.version >= 4 {
            listed.group_state = text(state);
        }
        if context.version >= 5 {
            listed.group_type = text(kind);
        }
        groups.push(listed);
    });
    ListGroupsResponse::default().with_groups(groups)
}

/// Deletes groups without members.
pub(super) fn delete_groups(
    context: &Context<'_>,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let delete = |id: GroupId| {
        let result = context
            .check_coordinator(Coordinated::Group(&id))
            .and_then(|()| context.broker.groups.delete(&id));
        if result.is_ok() {
            context.broker.transactions.forget_group(&id);
        }
        DeletableGroupResult::default().with_group_id(id).with_error_code(code(result))
    };
    let results = request.groups_names.into_iter().map(delete).collect();
    DeleteGroupsResponse::default().with_results(results)
}

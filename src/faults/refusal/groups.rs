//! Requests about groups and their offsets.

pub(super) use kafka_protocol::messages::{
    ConsumerGroupHeartbeatResponse, HeartbeatResponse, LeaveGroupResponse, ListGroupsResponse,
    OffsetDeleteResponse, SyncGroupResponse,
};
use kafka_protocol::{
    messages::{
        BrokerId, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DeleteGroupsRequest,
        DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
        FindCoordinatorRequest, FindCoordinatorResponse, JoinGroupRequest, JoinGroupResponse,
        OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
        TopicName, consumer_group_describe_response,
        delete_groups_response::DeletableGroupResult,
        describe_groups_response,
        find_coordinator_response::Coordinator,
        offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
        offset_fetch_response::{
            OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
        },
    },
    protocol::StrBytes,
};

const NO_NODE: BrokerId = BrokerId(-1);

pub(super) fn find_coordinator(
    request: FindCoordinatorRequest,
    version: i16,
    code: i16,
) -> FindCoordinatorResponse {
    if version < 4 {
        return FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_node_id(NO_NODE)
            .with_port(-1);
    }
    let coordinator = |key| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(code)
            .with_node_id(NO_NODE)
            .with_port(-1)
    };
    let all = request.coordinator_keys.into_iter().map(coordinator);
    FindCoordinatorResponse::default().with_coordinators(all.collect())
}

pub(super) fn join_group(request: JoinGroupRequest, version: i16, code: i16) -> JoinGroupResponse {
    // Old versions cannot say that there is no protocol.
    let protocol = (version < 7).then(StrBytes::default);
    JoinGroupResponse::default()
        .with_error_code(code)
        .with_generation_id(-1)
        .with_protocol_name(protocol)
        .with_member_id(request.member_id)
}

pub(super) fn offset_commit(
    request: OffsetCommitRequest,
    _: i16,
    code: i16,
) -> OffsetCommitResponse {
    let partition = |number| {
        OffsetCommitResponsePartition::default().with_partition_index(number).with_error_code(code)
    };
    let topics = request.topics.into_iter().map(|topic| {
        OffsetCommitResponseTopic::default()
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
            .with_partitions(
                topic.partitions.iter().map(|p| partition(p.partition_index)).collect(),
            )
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

pub(super) fn offset_fetch(
    request: OffsetFetchRequest,
    version: i16,
    code: i16,
) -> OffsetFetchResponse {
    let response = OffsetFetchResponse::default();
    match version {
        8.. => {
            let group =
                |id| OffsetFetchResponseGroup::default().with_group_id(id).with_error_code(code);
            let all = request.groups.into_iter().map(|g| group(g.group_id));
            response.with_groups(all.collect())
        }
        2..8 => response.with_error_code(code),
        _ => {
            let partition = |number| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(number)
                    .with_committed_offset(-1)
                    .with_error_code(code)
            };
            let topic = |name: TopicName, numbers: Vec<i32>| {
                OffsetFetchResponseTopic::default()
                    .with_name(name)
                    .with_partitions(numbers.into_iter().map(partition).collect())
            };
            let topics = request.topics.unwrap_or_default().into_iter();
            response.with_topics(topics.map(|t| topic(t.name, t.partition_indexes)).collect())
        }
    }
}

pub(super) fn describe_groups(
    request: DescribeGroupsRequest,
    _: i16,
    code: i16,
) -> DescribeGroupsResponse {
    let group = |id| {
        describe_groups_response::DescribedGroup::default().with_group_id(id).with_error_code(code)
    };
    DescribeGroupsResponse::default().with_groups(request.groups.into_iter().map(group).collect())
}

pub(super) fn delete_groups(
    request: DeleteGroupsRequest,
    _: i16,
    code: i16,
) -> DeleteGroupsResponse {
    let group = |id| DeletableGroupResult::default().with_group_id(id).with_error_code(code);
    DeleteGroupsResponse::default()
        .with_results(request.groups_names.into_iter().map(group).collect())
}

pub(super) fn consumer_group_describe(
    request: ConsumerGroupDescribeRequest,
    _: i16,
    code: i16,
) -> ConsumerGroupDescribeResponse {
    let group = |id| {
        consumer_group_describe_response::DescribedGroup::default()
            .with_group_id(id)
            .with_error_code(code)
    };
    ConsumerGroupDescribeResponse::default()
        .with_groups(request.group_ids.into_iter().map(group).collect())
}

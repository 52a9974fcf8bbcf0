//! Requests about topics, settings and access.

use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse, CreateAclsRequest, CreateAclsResponse,
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteAclsRequest, DeleteAclsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    DescribeConfigsRequest, DescribeConfigsResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, ElectLeadersRequest, ElectLeadersResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, alter_configs_response,
    alter_user_scram_credentials_response::AlterUserScramCredentialsResult,
    create_acls_response::AclCreationResult,
    create_partitions_response::CreatePartitionsTopicResult,
    create_topics_response::CreatableTopicResult,
    delete_acls_response::DeleteAclsFilterResult,
    delete_topics_response::DeletableTopicResult,
    describe_configs_response::DescribeConfigsResult,
    describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic,
    elect_leaders_response::{self, ReplicaElectionResult},
    incremental_alter_configs_response,
};
pub(super) use kafka_protocol::messages::{
    DescribeAclsResponse, DescribeClusterResponse, DescribeUserScramCredentialsResponse,
};
use std::collections::BTreeSet;

pub(super) fn create_topics(
    request: CreateTopicsRequest,
    _: i16,
    code: i16,
) -> CreateTopicsResponse {
    let topic = |name| CreatableTopicResult::default().with_name(name).with_error_code(code);
    CreateTopicsResponse::default()
        .with_topics(request.topics.into_iter().map(|t| topic(t.name)).collect())
}

pub(super) fn delete_topics(
    request: DeleteTopicsRequest,
    _: i16,
    code: i16,
) -> DeleteTopicsResponse {
    let topic = |name| DeletableTopicResult::default().with_name(name).with_error_code(code);
    let named = request.topic_names.into_iter().map(|name| topic(Some(name)));
    let either = request.topics.into_iter().map(|t| topic(t.name).with_topic_id(t.topic_id));
    DeleteTopicsResponse::default().with_responses(named.chain(either).collect())
}

pub(super) fn create_partitions(
    request: CreatePartitionsRequest,
    _: i16,
    code: i16,
) -> CreatePartitionsResponse {
    let topic = |name| CreatePartitionsTopicResult::default().with_name(name).with_error_code(code);
    CreatePartitionsResponse::default()
        .with_results(request.topics.into_iter().map(|t| topic(t.name)).collect())
}

/// None if no topic is asked for: the response has no error of its own.
pub(super) fn describe_topic_partitions(
    request: DescribeTopicPartitionsRequest,
    _: i16,
    code: i16,
) -> Option<DescribeTopicPartitionsResponse> {
    let topic = |name| {
        DescribeTopicPartitionsResponseTopic::default().with_name(Some(name)).with_error_code(code)
    };
    let topics: Vec<_> = request.topics.into_iter().map(|t| topic(t.name)).collect();
    (!topics.is_empty()).then(|| DescribeTopicPartitionsResponse::default().with_topics(topics))
}

/// None if all partitions are meant and the response has no error of its own.
pub(super) fn elect_leaders(
    request: ElectLeadersRequest,
    version: i16,
    code: i16,
) -> Option<ElectLeadersResponse> {
    let response = ElectLeadersResponse::default();
    let Some(topics) = request.topic_partitions else {
        return (version >= 1).then(|| response.with_error_code(code));
    };
    let partition = |number| {
        elect_leaders_response::PartitionResult::default()
            .with_partition_id(number)
            .with_error_code(code)
    };
    let results = topics.into_iter().map(|topic| {
        ReplicaElectionResult::default()
            .with_topic(topic.topic)
            .with_partition_result(topic.partitions.into_iter().map(partition).collect())
    });
    Some(response.with_replica_election_results(results.collect()))
}

pub(super) fn describe_configs(
    request: DescribeConfigsRequest,
    _: i16,
    code: i16,
) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_error_code(code)
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

pub(super) fn alter_configs(
    request: AlterConfigsRequest,
    _: i16,
    code: i16,
) -> AlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_error_code(code)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

pub(super) fn incremental_alter_configs(
    request: IncrementalAlterConfigsRequest,
    _: i16,
    code: i16,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        incremental_alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_error_code(code)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

/// The error of each user; each once, however often it is named.
pub(super) fn alter_credentials(
    request: AlterUserScramCredentialsRequest,
    _: i16,
    code: i16,
) -> AlterUserScramCredentialsResponse {
    let deleted = request.deletions.into_iter().map(|deletion| deletion.name);
    let named = deleted.chain(request.upsertions.into_iter().map(|upsertion| upsertion.name));
    let result =
        |user| AlterUserScramCredentialsResult::default().with_user(user).with_error_code(code);
    AlterUserScramCredentialsResponse::default()
        .with_results(named.collect::<BTreeSet<_>>().into_iter().map(result).collect())
}

pub(super) fn create_acls(request: CreateAclsRequest, _: i16, code: i16) -> CreateAclsResponse {
    let result = |_| AclCreationResult::default().with_error_code(code);
    CreateAclsResponse::default().with_results(request.creations.into_iter().map(result).collect())
}

pub(super) fn delete_acls(request: DeleteAclsRequest, _: i16, code: i16) -> DeleteAclsResponse {
    let result = |_| DeleteAclsFilterResult::default().with_error_code(code);
    DeleteAclsResponse::default()
        .with_filter_results(request.filters.into_iter().map(result).collect())
}

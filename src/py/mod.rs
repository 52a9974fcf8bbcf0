//! The only place that names pyo3: conversions and forwarding, no logic.

mod admin;
mod aggregate;
mod batch;
mod broker;
mod clock;
mod cursor;
mod custom_aggregate;
mod decode;
mod detached;
mod encode;
mod error;
mod expression;
mod faults;
mod follower;
mod join;
mod local_state;
mod logs;
mod members;
mod producer;
mod proxy;
mod registry;
mod security;
mod snapshots;
mod state;
mod state_columns;
mod state_values;
mod stored_state;
mod table;
mod table_codec;
mod visit;
mod worker;

use pyo3::prelude::*;

/// librdkafka and the decoders allocate in small pieces from many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The Rust core of Turbine.
#[pymodule(gil_used = false)]
mod _native {
    use super::PyResult;
    use pyo3::{Bound, types::PyModule, types::PyModuleMethods};

    #[pymodule_export]
    use super::admin::Admin;
    #[pymodule_export]
    use super::aggregate::aggregate;
    #[pymodule_export]
    use super::batch::Batch;
    #[pymodule_export]
    use super::broker::EmbeddedBroker;
    #[pymodule_export]
    use super::clock::Clock;
    #[pymodule_export]
    use super::cursor::Cursor;
    #[pymodule_export]
    use super::custom_aggregate::register_aggregate;
    #[pymodule_export]
    use super::encode::{encode_json, partition_for};
    #[pymodule_export]
    use super::expression::{
        Expression, Splitter, Steps, explode, group_rows, shard_of, shard_rows,
    };
    #[pymodule_export]
    use super::faults::Fault;
    #[pymodule_export]
    use super::follower::Follower;
    #[pymodule_export]
    use super::join::Join;
    #[pymodule_export]
    use super::local_state::{LocalState, is_beginning, receipt};
    #[pymodule_export]
    use super::logs::{set_log_level, take_logs};
    #[pymodule_export]
    use super::producer::{Delivery, Producer};
    #[pymodule_export]
    use super::proxy::FaultProxy;
    #[pymodule_export]
    use super::registry::SchemaRegistry;
    #[pymodule_export]
    use super::snapshots::Snapshots;
    #[pymodule_export]
    use super::state::State;
    #[pymodule_export]
    use super::stored_state::StoredState;
    #[pymodule_export]
    use super::table::{Table, Turn};
    #[pymodule_export]
    use super::table_codec::TableCodec;
    #[pymodule_export]
    use super::visit::Visit;
    #[pymodule_export]
    use super::worker::Worker;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::logs::install();
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        module.add("build_profile", profile)
    }
}

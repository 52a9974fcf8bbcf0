//! How RocksDB is set up: memory inside one budget, damage is an error.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType,
    DBRecoveryMode, LogLevel, Options, WriteBufferManager,
};

/// Blocks of a file, uncompressed.
const BLOCK_BYTES: usize = 8 << 10;
/// Pieces of an index or a filter.
const METADATA_BYTES: usize = 8 << 10;
const BLOOM_BITS: f64 = 10.0;
/// Files that are open at a time.
const OPEN_FILES: i32 = 512;
/// Most that a restart has to read again from the log of writes.
const LOG_BYTES: u64 = 32 << 20;
/// Least memory that works.
const LEAST_BYTES: usize = 8 << 20;
/// First piece of memory of a write buffer.
const ARENA_BYTES: usize = 64 << 10;

/// Memory that every column family takes from.
pub(super) struct Budget {
    cache: Cache,
    buffers: WriteBufferManager,
    write_buffer_bytes: usize,
}

impl Budget {
    /// `bytes` for blocks, indexes, filters and write buffers together.
    pub(super) fn new(bytes: usize) -> Self {
        let bytes = bytes.max(LEAST_BYTES);
        let cache = Cache::new_hyper_clock_cache(bytes, 0);
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            bytes / 4,
            false,
            cache.clone(),
        );
        let write_buffer_bytes = (bytes / 8).clamp(1 << 20, 64 << 20);
        Self { cache, buffers, write_buffer_bytes }
    }

    /// Bytes in use now.
    pub(super) fn used_bytes(&self) -> usize {
        self.cache.get_usage()
    }

    /// Of the instance.
    pub(super) fn instance(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_paranoid_checks(true);
        // What was fsynced is there; behind the first damaged byte of the log nothing counts, so that the
        // content is always one that there was, with the mark that it had.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_recycle_log_file_num(0);
        options.set_max_total_wal_size(LOG_BYTES);
        options.set_write_buffer_manager(&self.buffers);
        options.set_max_open_files(OPEN_FILES);
        options.set_max_background_jobs(3);
        options.set_bytes_per_sync(1 << 20);
        options.set_avoid_unnecessary_blocking_io(true);
        options.set_skip_stats_update_on_db_open(true);
        options.set_stats_dump_period_sec(0);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(4 << 20);
        options.set_log_level(LogLevel::Warn);
        options
    }

    /// Of a space with keys of users.
    pub(super) fn space(&self) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_block_size(BLOCK_BYTES);
        blocks.set_bloom_filter(BLOOM_BITS, false);
        blocks.set_optimize_filters_for_memory(true);
        // In one piece, the filter of a large file does not fit into the cache and is read for every key.
        blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        blocks.set_partition_filters(true);
        blocks.set_metadata_block_size(METADATA_BYTES);
        blocks.set_pin_top_level_index_and_filter(true);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_format_version(6);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_manager(&self.buffers);
        options.set_write_buffer_size(self.write_buffer_bytes);
        options.set_arena_block_size(ARENA_BYTES);
        options.set_max_write_buffer_number(3);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_optimize_filters_for_hits(false);
        options
    }

    /// `name`, opened as a space.
    pub(super) fn descriptor(&self, name: &str) -> ColumnFamilyDescriptor {
        ColumnFamilyDescriptor::new(name, self.space())
    }
}

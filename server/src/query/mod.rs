//! The path of a statement: one file a stage, named after the stage; no stage calls an earlier one.
//!
//! `parse` → `command` (answered at once) or `plan` → `execute`; `explain` shows what the last two did. Every front
//! end calls [`prepare`] and [`start`]; what writes goes through `write` before and after.

mod averages;
mod catalog_syntax;
mod checked;
mod command;
mod complexity;
mod constants;
mod distinct;
mod execute;
mod explain;
mod expressions;
mod floats;
mod functions;
mod identifiers;
mod literals;
mod moments;
mod names;
mod not_in;
mod numerics;
mod operators;
mod optimize;
mod outer_columns;
mod parameters;
mod parse;
mod places;
mod plan;
mod prefixes;
mod provider;
mod receipt;
mod references;
mod refresh;
mod refused;
mod remote;
mod rounding;
mod row_in;
mod rows;
mod set_operations;
mod single_value;
mod sort_keys;
mod syntax;
mod text_aggregates;
mod types;
mod typing;
mod views;
mod write;
mod zeros;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use causeway_spi::{engine_settings, logical_rules, physical_rules};
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::{Analyzer, AnalyzerRule};
use datafusion::prelude::SessionConfig;

pub(crate) use command::ends_transaction;
pub use command::{CommandReply, change_setting, describe_command, is_command, run_command};
pub use execute::{QueryHandle, start};
pub use functions::{PendingSettings, SettingChange};
pub(crate) use names::shown_in;
pub use parse::{ParsedStatement, parse};
pub use plan::{PlanContext, Prepared, prepare};
pub use receipt::{Outcome, Receipt};
pub use refresh::Refresh;
pub use write::{
    Done, Notice, RowsWrite, Target, WriteKind, change_structure, check_may_write, command, create_table,
    define_view, describe_write, find_target, is_write, prepare_write, put_view, rows_to_write,
    second_catalog, table_of_query, written_catalog,
};

use crate::catalog::{CatalogChanges, Catalogs};
use crate::config::{OpenCatalog, ServerConfig};
use crate::history::History;
use crate::security::RemoteAccess;

/// How many memory consumers a refusal names in the log.
const MEMORY_CONSUMERS_NAMED: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(4);

/// What all sessions share: catalogs, memory, and the prototype that each statement's state is cloned from.
#[derive(Debug)]
pub struct Engine {
    catalogs: RwLock<Arc<Catalogs>>,
    /// The `[server]` section.
    pub config: ServerConfig,
    /// What runs and what ran lately.
    pub history: Arc<History>,
    prototype: SessionState,
    remote: RwLock<Arc<RemoteAccess>>,
}

impl Engine {
    /// Makes the engine. Errors: the spill folder cannot be used.
    pub fn new(
        catalogs: Catalogs,
        config: ServerConfig,
        remote: RemoteAccess,
    ) -> datafusion::common::Result<Self> {
        let spill = match &config.spill_path {
            Some(path) => DiskManagerMode::Directories(vec![path.clone()]),
            None => DiskManagerMode::OsTmpDirectory,
        };
        let pool = FairSpillPool::new(config.memory_limit_mib.saturating_mul(1 << 20));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, MEMORY_CONSUMERS_NAMED)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(spill))
            .build_arc()?;
        let prototype = SessionStateBuilder::new()
            .with_config(session_config(&config))
            .with_runtime_env(runtime)
            .with_default_features()
            .with_analyzer_rules(analyzer_rules())
            .with_optimizer_rules(logical_rules())
            .with_physical_optimizer_rules(physical_rules())
            .build();
        Ok(Self {
            catalogs: RwLock::new(Arc::new(catalogs)),
            config,
            history: Arc::default(),
            prototype,
            remote: RwLock::new(Arc::new(remote)),
        })
    }

    /// The catalogs as they are now. A statement keeps those that it began with.
    pub fn catalogs(&self) -> Arc<Catalogs> {
        Arc::clone(&self.catalogs.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who may send native statements, as it is now.
    fn remote_access(&self) -> Arc<RemoteAccess> {
        Arc::clone(&self.remote.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts the catalogs of a reloaded configuration in the place of those that are there, and the users of `remote`, if
    /// users change: options of `[server]` do not.
    pub(crate) fn reload(
        &self,
        open: BTreeMap<String, OpenCatalog>,
        remote: Option<RemoteAccess>,
    ) -> CatalogChanges {
        // First: a statement that is planned with the new catalogs asks the new users.
        if let Some(remote) = remote {
            let mut access = self.remote.write().unwrap_or_else(PoisonError::into_inner);
            *access = Arc::new(access.with_users_of(remote));
        }
        let mut catalogs = self.catalogs.write().unwrap_or_else(PoisonError::into_inner);
        let (reloaded, changes) = catalogs.reloaded(open);
        *catalogs = Arc::new(reloaded);
        changes
    }
}

/// DataFusion's rules that give a plan its types, between ours that give it PostgreSQL's meaning.
fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![
        Arc::new(set_operations::CopiesOfRows),
        Arc::new(single_value::SingleValues),
        Arc::new(text_aggregates::TextsInOrders),
        Arc::new(sort_keys::KeysOfDistinctOn),
        Arc::new(moments::MomentArithmetic),
        Arc::new(moments::IntervalAggregates),
        Arc::new(numerics::NumericLaw),
        Arc::new(outer_columns::OuterColumns),
        Arc::new(literals::UntypedLiterals),
    ];
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(moments::SessionZone));
    rules.push(Arc::new(moments::IntervalOrder));
    rules.push(Arc::new(rounding::RoundingCasts));
    rules.push(Arc::new(zeros::EqualZeros));
    rules.push(Arc::new(prefixes::Prefixes));
    rules.push(Arc::new(checked::CheckedConstants));
    rules
}

/// DataFusion's settings that every statement starts from.
fn session_config(config: &ServerConfig) -> SessionConfig {
    let mut session = SessionConfig::new().with_information_schema(false);
    if let Some(partitions) = config.target_partitions {
        session = session.with_target_partitions(partitions);
    }
    let options = session.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    engine_settings(session)
}

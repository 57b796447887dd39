//! DataFusion's rules that make a plan faster, with ours that keep it right, or make it faster by what is known of sources.

mod filter_places;
mod hidden_columns;
mod join_filters;
mod outer_constants;
mod projections;
mod soft_limits;
mod sorts;
mod windows;

use std::sync::Arc;

use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use crate::join_order::JoinOrder;
use crate::lookup_join::StreamedOuterSides;
use filter_places::Fenced;
use join_filters::FiltersOfJoins;
use outer_constants::OuterConstants;
use projections::PastPlainFilters;
use soft_limits::SoftLimitsThatHold;
use sorts::OrdersThatHold;
use windows::{LimitsAboveWindows, PastWindowsThatLookBack, WindowsInNoOrder};

/// The physical rules of a session that reads sources, in their order.
pub fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut ours: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![
        Arc::new(WindowsInNoOrder),
        Arc::new(OuterConstants),
        Arc::new(LimitsAboveWindows),
    ];
    for rule in PhysicalOptimizer::new().rules {
        match rule.name() {
            "FilterPushdown" | "FilterPushdown(Post)" => ours.push(Arc::new(Fenced { rule })),
            "join_selection" => ours.extend([Arc::new(JoinOrder) as _, rule, Arc::new(StreamedOuterSides)]),
            projections::RULE => ours.push(Arc::new(PastPlainFilters { rule })),
            windows::RULE => ours.push(Arc::new(PastWindowsThatLookBack { rule })),
            _ => ours.push(rule),
        }
    }
    // Before the last one, which refuses a plan whose orders do not hold.
    let last = ours.len().saturating_sub(1);
    let right: [Arc<dyn PhysicalOptimizerRule + Send + Sync>; 3] = [
        Arc::new(FiltersOfJoins),
        Arc::new(SoftLimitsThatHold),
        Arc::new(OrdersThatHold),
    ];
    ours.splice(last..last, right);
    ours
}

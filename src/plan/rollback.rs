//! What a rollback would leave standing at each point of a plan.

use super::{Plan, PlannedCall, PlannedStep, PlannedUndo};

impl PlannedStep {
    /// Its effects that a rollback cannot take back.
    pub fn leaves(&self) -> impl Iterator<Item = &PlannedCall> {
        self.calls
            .iter()
            .filter(|call| matches!(call.undo, Some(PlannedUndo::Impossible { .. })) && call.refused.is_none())
    }
}

impl Plan {
    /// The steps in the order in which they end: what is done when the run is rolled back after one of them is what stands
    /// up to it.
    #[must_use]
    pub fn in_time(&self) -> Vec<&PlannedStep> {
        let mut steps: Vec<&PlannedStep> = self.steps.iter().collect();
        // The sort is stable: steps that end at once stay in the playbook's order.
        steps.sort_by_key(|step| step.ends_ms);
        steps
    }

    /// What a rollback at the very end would leave standing.
    pub fn leaves(&self) -> impl Iterator<Item = &PlannedCall> {
        self.steps.iter().flat_map(PlannedStep::leaves)
    }
}

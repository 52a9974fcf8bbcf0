//! Which rules for faults the broker can follow.

use super::{server::Broker, wire};
use crate::{
    error::{Error, Result},
    faults::{Action, Rule, Target, api_name, refusal},
};
use std::sync::Arc;

impl Broker {
    /// From now on, something goes wrong with some requests.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a rule that no request could ever meet.
    pub fn add_fault(
        &self,
        target: Target,
        action: Action,
        times: Option<u64>,
    ) -> Result<Arc<Rule>> {
        if let Some(api) = target.api {
            let name = api_name(api);
            if !wire::is_served(api) {
                return Err(Error::Config(format!("the embedded broker does not serve {name}")));
            }
            if matches!(action, Action::Fail(_)) && !refusal::can_refuse(api) {
                return Err(Error::Config(format!("{name} cannot be answered with an error")));
            }
        }
        Ok(self.faults().add(target, action, times))
    }
}

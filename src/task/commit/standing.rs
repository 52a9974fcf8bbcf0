//! Where a task stands: which input its state is of, and how far it is in the changelog.

use super::driver::Driver;
use crate::{
    engine::{
        halt::{Halt, Reason},
        identity::Identity,
    },
    state::Store,
};

impl Driver {
    /// Which input it is; only a state has to fit.
    pub(super) fn input(&self) -> crate::error::Result<Identity> {
        let has_store = self.store.is_some();
        has_store
            .then(|| self.link.member.identity(&self.link.tp))
            .transpose()
            .map(Option::unwrap_or_default)
    }

    /// Notes in the store which input its content is of.
    pub(super) fn note_identity(&self) -> Result<(), Halt> {
        let Some(store) = &self.store else { return Ok(()) };
        let generation = self.machine.receipt().map_or(0, |receipt| receipt.generation);
        let now = Identity { generation, ..self.identity.clone() };
        let note = || -> crate::error::Result<()> {
            let known = store.note()?.and_then(|note| Identity::from_note(&note));
            let now = now.or(known.clone());
            if known.as_ref() == Some(&now) { Ok(()) } else { store.set_note(&now.to_note()) }
        };
        note().map_err(|error| Halt::of(Reason::StoreFailed).because(error.to_string()))
    }
}

/// Offset in the changelog in front of which the store has everything; -1 if that is not known.
pub(super) fn known_log(store: Option<&dyn Store>) -> i64 {
    let mark = store.and_then(|store| store.mark().ok().flatten());
    mark.map_or(-1, |mark| mark.log)
}

//! The id that goes in front of a record that is written.

use super::{Registry, RegistrySchema, client::Answer, strange};
use crate::{
    codec::rows::Ready,
    error::{Act, Error, Result},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;

/// What is asked of a registry before records are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Registration {
    /// Name under which the registry keeps the schemas.
    pub subject: String,
    /// `AVRO` or `PROTOBUF`.
    pub kind: &'static str,
    /// The schema to write with; none: the latest that the registry has.
    pub schema: Option<String>,
    /// May it be registered if the registry does not have it?
    pub may_register: bool,
}

/// A schema with which records can be written.
pub type Registered = Arc<RegistrySchema>;

impl Registry {
    /// The answer to `registration`, if it was asked for before.
    #[must_use]
    pub fn registered(&self, registration: &Registration) -> Option<Registered> {
        self.written.lock().get(registration).cloned()
    }

    /// Looks up, or registers, what `registration` names; afterwards it is
    /// [registered](Self::registered).
    #[must_use]
    pub fn register(self: Arc<Self>, registration: Registration) -> Ready {
        Box::pin(async move {
            let _alone = self.asking.lock().await;
            if self.registered(&registration).is_none() {
                let schema = Arc::new(self.find(&registration).await?);
                self.written.lock().insert(registration, schema);
            }
            Ok(())
        })
    }

    async fn find(&self, wanted: &Registration) -> Result<RegistrySchema> {
        let subject = wanted.subject.as_str();
        let Some(schema) = &wanted.schema else {
            let path = ["subjects", subject, "versions", "latest"];
            return match self.get(&path).await? {
                Answer::Ok(json) => self.read(id_of(self, &json)?, &json).await,
                Answer::Missing(said) | Answer::Refused(said) => Err(refused(format!(
                    "the schema registry has no schema of the subject {subject} to write with \
                     ({said}): register one, or give the format schema= or auto_register=True"
                ))),
            };
        };
        let body = json!({ "schema": schema, "schemaType": wanted.kind });
        let known = ["subjects", subject];
        let new = ["subjects", subject, "versions"];
        let path: &[&str] = if wanted.may_register { &new } else { &known };
        match self.ask(Method::POST, path, Some(&body)).await? {
            Answer::Ok(json) => {
                let mut whole = body;
                whole["id"] = json.get("id").cloned().unwrap_or_default();
                self.read(id_of(self, &whole)?, &whole).await
            }
            Answer::Missing(said) => Err(refused(format!(
                "the schema registry does not have this schema under the subject {subject} \
                 ({said}): register it, or give the format auto_register=True"
            ))),
            Answer::Refused(said) => Err(refused(format!(
                "the schema registry does not take this schema for the subject {subject}: {said}"
            ))),
        }
    }

    /// Whether the registry takes `schema` as the next version of `subject`.
    ///
    /// # Errors
    ///
    /// [`Error::Registry`] if it does not answer, or does not know the subject.
    pub async fn is_compatible(&self, subject: &str, kind: &str, schema: &str) -> Result<bool> {
        let path = ["compatibility", "subjects", subject, "versions", "latest"];
        let body = json!({ "schema": schema, "schemaType": kind });
        match self.ask(Method::POST, &path, Some(&body)).await? {
            Answer::Ok(json) => {
                Ok(json.get("is_compatible").and_then(Value::as_bool).unwrap_or_default())
            }
            Answer::Missing(said) | Answer::Refused(said) => Err(refused(said)),
        }
    }
}

fn id_of(registry: &Registry, json: &Value) -> Result<u32> {
    let id = json.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| strange(&registry.http, "an answer without an id"))
}

fn refused(message: String) -> Error {
    Error::Registry { message, act: Act::Stop }
}

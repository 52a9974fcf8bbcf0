//! Requests of Confluent's API to answers.

use super::{
    Compatibility,
    store::{Schema, Schemas},
};
use crate::error::Error;
use serde_json::{Value, json};

/// Status and body.
pub type Answer = (u16, Value);

type Answered = std::result::Result<Value, Answer>;

impl Schemas {
    /// Answers one request; `path` is taken apart and decoded.
    #[must_use]
    pub fn answer(&self, method: &str, path: &[&str], body: Option<&Value>) -> Answer {
        match self.route(method, path, body) {
            Ok(answer) => (200, answer),
            Err(refusal) => refusal,
        }
    }

    fn route(&self, method: &str, path: &[&str], body: Option<&Value>) -> Answered {
        match (method, path) {
            ("GET", []) => Ok(json!({})),
            ("GET", ["schemas", "types"]) => Ok(json!(["AVRO", "JSON", "PROTOBUF"])),
            ("GET", ["schemas", "ids", id]) => self.by_id(id),
            ("GET", ["schemas", "ids", id, "versions"]) => self.uses(id),
            ("GET", ["subjects"]) => Ok(json!(self.subjects())),
            ("POST", ["subjects", subject]) => self.look_up(subject, body),
            ("DELETE", ["subjects", subject]) => self.delete(subject, None),
            ("GET", ["subjects", subject, "versions"]) => self.versions(subject),
            ("POST", ["subjects", subject, "versions"]) => self.register(subject, body),
            ("GET", ["subjects", subject, "versions", version]) => self.version(subject, version),
            ("GET", ["subjects", subject, "versions", version, "schema"]) => {
                let text = self.version(subject, version)?["schema"].clone();
                Ok(text.as_str().and_then(|t| serde_json::from_str(t).ok()).unwrap_or(text))
            }
            ("DELETE", ["subjects", subject, "versions", version]) => {
                self.delete(subject, Some(version))
            }
            ("POST", ["compatibility", "subjects", subject, "versions", version]) => {
                self.check(subject, Some(version), body)
            }
            ("POST", ["compatibility", "subjects", subject, "versions"]) => {
                self.check(subject, None, body)
            }
            ("GET", ["config"]) => {
                Ok(json!({ "compatibilityLevel": self.state.lock().compatibility }))
            }
            ("GET", ["config", subject]) => {
                let level = self.state.lock().compatibility_of(subject);
                Ok(json!({ "compatibilityLevel": level }))
            }
            ("PUT", ["config"]) => self.configure(None, body),
            ("PUT", ["config", subject]) => self.configure(Some(subject), body),
            ("GET", ["mode"] | ["mode", _]) => Ok(json!({ "mode": "READWRITE" })),
            _ => Err(refusal(404, 404, "no such route in this registry")),
        }
    }

    fn subjects(&self) -> Vec<String> {
        let state = self.state.lock();
        let live = state.subjects.iter().filter(|(_, subject)| !subject.versions.is_empty());
        live.map(|(name, _)| name.clone()).collect()
    }

    fn by_id(&self, id: &str) -> Answered {
        let state = self.state.lock();
        let schema = id.parse().ok().and_then(|id: u32| state.schemas.get(&id));
        schema
            .map(described)
            .ok_or_else(|| refusal(404, 40403, &format!("no schema has the id {id}")))
    }

    fn uses(&self, id: &str) -> Answered {
        let state = self.state.lock();
        let id: u32 = id.parse().map_err(|_| refusal(404, 40403, "an id is a number"))?;
        let uses = |(name, subject): (&String, &super::store::Subject)| {
            let versions = subject.versions.iter().filter(|(_, of)| *of == id);
            let of = |(number, _): &(u32, u32)| json!({ "subject": name, "version": number });
            versions.map(of).collect::<Vec<_>>()
        };
        Ok(state.subjects.iter().flat_map(uses).collect())
    }

    fn versions(&self, subject: &str) -> Answered {
        let state = self.state.lock();
        let versions = state.versions(subject);
        if versions.is_empty() {
            return Err(no_subject(subject));
        }
        Ok(versions.iter().map(|(number, _)| json!(number)).collect())
    }

    fn version(&self, subject: &str, version: &str) -> Answered {
        let state = self.state.lock();
        let versions = state.versions(subject);
        let last = versions.last().ok_or_else(|| no_subject(subject))?;
        let (number, schema) = match version {
            "latest" | "-1" => last,
            number => {
                let number: u32 = number
                    .parse()
                    .map_err(|_| refusal(422, 42202, "a version is a number, or `latest`"))?;
                let found = versions.iter().find(|(n, _)| *n == number);
                found.ok_or_else(|| {
                    refusal(404, 40402, &format!("{subject} has no version {number}"))
                })?
            }
        };
        Ok(versioned(subject, *number, schema))
    }

    fn look_up(&self, subject: &str, body: Option<&Value>) -> Answered {
        let wanted = given(body)?;
        let state = self.state.lock();
        if state.versions(subject).is_empty() {
            return Err(no_subject(subject));
        }
        let found = state.find(subject, &wanted);
        let (number, schema) =
            found.ok_or_else(|| refusal(404, 40403, &format!("{subject} has no such schema")))?;
        Ok(versioned(subject, number, schema))
    }

    fn register(&self, subject: &str, body: Option<&Value>) -> Answered {
        let new = given(body)?;
        let added = self.change(|state| {
            if let Some((_, known)) = state.find(subject, &new) {
                return Ok(known.id);
            }
            let versions: Vec<&Schema> =
                state.versions(subject).into_iter().map(|(_, schema)| schema).collect();
            let problems = state.compatibility_of(subject).problems(&new, &versions);
            match problems.first() {
                Some(why) => Err(refusal(409, 409, &format!("not compatible: {why}"))),
                None => Ok(state.add(subject, new)),
            }
        });
        added.map_err(failed)?.map(|id| json!({ "id": id }))
    }

    fn check(&self, subject: &str, version: Option<&str>, body: Option<&Value>) -> Answered {
        let new = given(body)?;
        let state = self.state.lock();
        let versions = state.versions(subject);
        let last = versions.last().ok_or_else(|| no_subject(subject))?.0;
        let partners: Vec<&Schema> = match version {
            None => versions.iter().map(|(_, schema)| *schema).collect(),
            Some(version) => {
                let number = version.parse().unwrap_or(last);
                let found = versions.iter().find(|(n, _)| *n == number);
                let missing = || refusal(404, 40402, &format!("{subject} has no such version"));
                vec![found.ok_or_else(missing)?.1]
            }
        };
        let problems = state.compatibility_of(subject).problems(&new, &partners);
        Ok(json!({ "is_compatible": problems.is_empty(), "messages": problems }))
    }

    fn delete(&self, subject: &str, version: Option<&str>) -> Answered {
        let deleted = match version {
            Some(version) => json!([self.version(subject, version)?["version"]]),
            None => self.versions(subject)?,
        };
        let numbers = deleted.as_array().cloned().unwrap_or_default();
        self.change(|state| {
            if let Some(subject) = state.subjects.get_mut(subject) {
                subject.versions.retain(|(number, _)| !numbers.contains(&json!(number)));
            }
        })
        .map_err(failed)?;
        Ok(if version.is_some() { deleted[0].clone() } else { deleted })
    }

    fn configure(&self, subject: Option<&str>, body: Option<&Value>) -> Answered {
        let level = body.and_then(|body| body.get("compatibility")).cloned().unwrap_or_default();
        let level: Compatibility = serde_json::from_value(level.clone())
            .map_err(|_| refusal(422, 42203, &format!("{level} is no level of compatibility")))?;
        self.change(|state| match subject {
            Some(name) => {
                state.subjects.entry(name.into()).or_default().compatibility = Some(level);
            }
            None => state.compatibility = level,
        })
        .map_err(failed)?;
        Ok(json!({ "compatibility": level }))
    }
}

/// The schema in the body of a request.
fn given(body: Option<&Value>) -> Result<Schema, Answer> {
    let text = |key: &str| body.and_then(|body| body.get(key)).and_then(Value::as_str);
    let schema = text("schema").ok_or_else(|| refusal(422, 42201, "the body has no `schema`"))?;
    let references = body.and_then(|body| body.get("references")).and_then(Value::as_array);
    let references = references.cloned().unwrap_or_default();
    let kind = text("schemaType").unwrap_or("AVRO");
    if kind == "AVRO" && references.is_empty() {
        apache_avro::Schema::parse_str(schema)
            .map_err(|e| refusal(422, 42201, &format!("not an Avro schema: {e}")))?;
    }
    Ok(Schema { id: 0, kind: kind.into(), text: schema.into(), references })
}

fn described(schema: &Schema) -> Value {
    let mut out = json!({ "schema": schema.text });
    if schema.kind != "AVRO" {
        out["schemaType"] = json!(schema.kind);
    }
    if !schema.references.is_empty() {
        out["references"] = json!(schema.references);
    }
    out
}

fn versioned(subject: &str, number: u32, schema: &Schema) -> Value {
    let mut out = described(schema);
    out["subject"] = json!(subject);
    out["version"] = json!(number);
    out["id"] = json!(schema.id);
    out
}

fn refusal(status: u16, code: u32, message: &str) -> Answer {
    (status, json!({ "error_code": code, "message": message }))
}

fn no_subject(subject: &str) -> Answer {
    refusal(404, 40401, &format!("there is no subject {subject}"))
}

fn failed(error: Error) -> Answer {
    refusal(500, 50001, &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: Value) -> Value {
        json!({ "schema": json!({"type": "record", "name": "r", "fields": fields}).to_string() })
    }

    fn one(of: &str) -> Value {
        schema(json!([{"name": "a", "type": of}]))
    }

    fn post(schemas: &Schemas, subject: &str, body: &Value) -> Answer {
        schemas.answer("POST", &["subjects", subject, "versions"], Some(body))
    }

    #[test]
    fn a_schema_has_one_id_and_a_version_in_every_subject() {
        let schemas = Schemas::new(None).unwrap();
        let (a, b) = (one("int"), one("string"));
        assert_eq!(post(&schemas, "x", &a), (200, json!({"id": 1})));
        assert_eq!(post(&schemas, "y", &b), (200, json!({"id": 2})));
        assert_eq!(post(&schemas, "y", &b), (200, json!({"id": 2})));
        assert_eq!(post(&schemas, "z", &a), (200, json!({"id": 1})));
        assert_eq!(schemas.answer("GET", &["subjects"], None).1, json!(["x", "y", "z"]));
        let latest = schemas.answer("GET", &["subjects", "y", "versions", "latest"], None).1;
        assert_eq!((&latest["id"], &latest["version"]), (&json!(2), &json!(1)));
        assert_eq!(schemas.answer("GET", &["schemas", "ids", "9"], None).1["error_code"], 40403);
        assert_eq!(post(&schemas, "x", &json!({"schema": "{"})).0, 422);
    }

    #[test]
    fn a_version_that_is_not_compatible_is_refused_by_the_level_of_its_subject() {
        let added = schema(json!([
            {"name": "a", "type": "int"}, {"name": "b", "type": "int"},
        ]));
        for (level, old, new, status) in [
            ("BACKWARD", one("int"), one("long"), 200),
            ("BACKWARD", one("long"), one("int"), 409),
            ("FORWARD", one("int"), one("long"), 409),
            ("FORWARD", one("long"), one("int"), 200),
            ("FULL", one("int"), one("long"), 409),
            ("NONE", one("int"), one("string"), 200),
            ("BACKWARD", one("int"), added.clone(), 409),
            ("FORWARD", one("int"), added, 200),
        ] {
            let schemas = Schemas::new(None).unwrap();
            let config = json!({ "compatibility": level });
            assert_eq!(schemas.answer("PUT", &["config", "s"], Some(&config)), (200, config));
            assert_eq!(post(&schemas, "s", &old).0, 200);
            assert_eq!(post(&schemas, "s", &new).0, status, "{level} {new}");
        }
    }

    #[test]
    fn what_was_registered_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("schemas.json");
        let schemas = Schemas::new(Some(file.clone())).unwrap();
        assert_eq!(post(&schemas, "s", &one("int")).0, 200);
        let again = Schemas::new(Some(file)).unwrap();
        assert_eq!(again.answer("GET", &["subjects", "s", "versions"], None).1, json!([1]));
    }
}

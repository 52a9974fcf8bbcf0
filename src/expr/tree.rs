//! An expression as it is written down: the tree that Python sends as JSON.
//!
//! ```json
//! {"call": "add", "args": [{"col": "price"}, {"lit": 1}], "options": {}}
//! {"when": [[CONDITION, VALUE], ...], "otherwise": VALUE}
//! {"alias": "total", "of": TREE}
//! ```

use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::fmt;

/// Deepest tree that is read; evaluation recurses.
const MOST_LEVELS: usize = 200;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// The column of that name, or a field of a struct: `a.b`.
    Column(String),
    /// A constant; the type is as [`super::types::parse`] reads it.
    Literal { value: Value, data_type: Option<String> },
    /// A function of other nodes.
    Call { function: String, args: Vec<Self>, options: Map<String, Value> },
    /// The value behind the first condition that is true.
    When { branches: Vec<(Self, Self)>, otherwise: Option<Box<Self>> },
    /// The same value under a name.
    Alias { name: String, of: Box<Self> },
}

impl Node {
    pub(super) fn parse(tree: &Value) -> Result<Self> {
        parse(tree, 0)
    }

    /// Adds the names of the columns below, each once, in order of appearance.
    pub(super) fn columns(&self, into: &mut Vec<String>) {
        match self {
            Self::Column(name) => {
                if !into.contains(name) {
                    into.push(name.clone());
                }
            }
            Self::Literal { .. } => {}
            Self::Call { args, .. } => args.iter().for_each(|arg| arg.columns(into)),
            Self::When { branches, otherwise } => {
                for (condition, value) in branches {
                    condition.columns(into);
                    value.columns(into);
                }
                if let Some(value) = otherwise {
                    value.columns(into);
                }
            }
            Self::Alias { of, .. } => of.columns(into),
        }
    }
}

fn parse(tree: &Value, level: usize) -> Result<Node> {
    if level > MOST_LEVELS {
        return Err(Error::Declaration(format!(
            "an expression is nested in more than {MOST_LEVELS} levels: compute it in steps"
        )));
    }
    let fields = tree.as_object().ok_or_else(|| unreadable(tree))?;
    let below = |value: &Value| parse(value, level + 1);
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(unreadable(tree)),
    };
    if fields.contains_key("col") {
        Ok(Node::Column(text("col")?))
    } else if let Some(value) = fields.get("lit") {
        let data_type = fields.get("type").and_then(Value::as_str).map(str::to_string);
        Ok(Node::Literal { value: value.clone(), data_type })
    } else if fields.contains_key("call") {
        let args = fields.get("args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let options = fields.get("options").and_then(Value::as_object).cloned();
        Ok(Node::Call {
            function: text("call")?,
            args: args.iter().map(below).collect::<Result<_>>()?,
            options: options.unwrap_or_default(),
        })
    } else if let Some(Value::Array(pairs)) = fields.get("when") {
        let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
            Some([condition, value]) => Ok((below(condition)?, below(value)?)),
            _ => Err(unreadable(tree)),
        };
        let otherwise = fields.get("otherwise").filter(|value| !value.is_null());
        Ok(Node::When {
            branches: pairs.iter().map(pair).collect::<Result<_>>()?,
            otherwise: otherwise.map(below).transpose()?.map(Box::new),
        })
    } else if let Some(of) = fields.get("of") {
        Ok(Node::Alias { name: text("alias")?, of: Box::new(below(of)?) })
    } else {
        Err(unreadable(tree))
    }
}

fn unreadable(tree: &Value) -> Error {
    let text: String = tree.to_string().chars().take(80).collect();
    Error::Declaration(format!(
        "{text} is not an expression: build it from turbine.functions, as col('a') + 1"
    ))
}

/// As in messages: `add(price, 1)`.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) => write!(f, "{name}"),
            Self::Literal { value, .. } => write!(f, "{value}"),
            Self::Call { function, args, .. } => {
                write!(f, "{function}(")?;
                for (i, arg) in args.iter().enumerate() {
                    write!(f, "{}{arg}", if i == 0 { "" } else { ", " })?;
                }
                write!(f, ")")
            }
            Self::When { .. } => write!(f, "when(...)"),
            Self::Alias { name, .. } => write!(f, "{name}"),
        }
    }
}

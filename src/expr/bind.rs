//! A tree and a schema become something that can be evaluated, with types known in every node.

use super::call::{Call, Computed, Kernel, Value};
use super::options::Options;
use super::plan::Plan;
use super::tree::Node;
use super::types::{self, describe, strict_cast};
use super::{functions, logic};
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, StructArray, make_array, new_empty_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Schema};
use std::sync::Arc;

/// A bound node.
#[derive(Clone)]
pub(super) struct Typed {
    pub(super) plan: Plan,
    pub(super) data_type: DataType,
    /// As messages call it.
    pub(super) text: String,
}

impl Typed {
    /// A constant: an array of length one.
    pub(super) fn literal(one: ArrayRef, text: impl Into<String>) -> Self {
        Self { data_type: one.data_type().clone(), text: text.into(), plan: Plan::Constant(one) }
    }

    /// Its value, if it is a constant.
    pub(super) fn constant(&self) -> Option<&ArrayRef> {
        match &self.plan {
            Plan::Constant(one) => Some(one),
            _ => None,
        }
    }

    /// `kernel` applied to `args`; refused if it does not work on columns of these types.
    ///
    /// What the kernel makes of no rows says what type it gives.
    pub(super) fn call(name: &str, args: Vec<Self>, kernel: Kernel) -> Result<Self> {
        let empty: Vec<_> =
            args.iter().map(|arg| Value::Column(new_empty_array(&arg.data_type))).collect();
        let tried = kernel(&empty, 0).map_err(|e| {
            let types: Vec<_> = args.iter().map(|arg| describe(&arg.data_type)).collect();
            Error::Declaration(format!("{name} does not work on {}: {e}", types.join(" and ")))
        })?;
        let data_type = tried.data_type().clone();
        let text = args.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(", ");
        let args = args.into_iter().map(|arg| arg.plan).collect();
        Ok(Self {
            plan: Plan::Call(Arc::new(Call::new(name, args, data_type.clone(), kernel))),
            data_type,
            text: format!("{name}({text})"),
        })
    }

    /// A function of one column.
    pub(super) fn unary(
        name: &str,
        arg: Self,
        kernel: impl Fn(&ArrayRef) -> Computed + Send + Sync + 'static,
    ) -> Result<Self> {
        let kernel = move |args: &[Value], rows: usize| kernel(&args[0].column(rows)?);
        Self::call(name, vec![arg], Arc::new(kernel))
    }

    /// The same value as another type; a value that has no counterpart is one that cannot be computed.
    pub(super) fn cast(self, to: &DataType) -> Result<Self> {
        if &self.data_type == to {
            return Ok(self);
        }
        if let Some(one) = self.constant() {
            return strict_cast(one, to).map(|one| Self::literal(one, self.text.clone())).map_err(
                |_| {
                    Error::Declaration(format!("the constant {} is no {}", self.text, describe(to)))
                },
            );
        }
        let text = self.text.clone();
        let target = to.clone();
        let call = Self::unary("cast", self, move |array| strict_cast(array, &target))?;
        Ok(Self { text, ..call })
    }
}

/// Binds `node` to the columns of `schema`.
///
/// # Errors
///
/// [`Error::Declaration`] with one sentence.
pub(super) fn bind(node: &Node, schema: &Schema) -> Result<Typed> {
    match node {
        Node::Column(name) => column(name, schema),
        Node::Literal { value, data_type } => {
            Ok(Typed::literal(types::literal(value, data_type.as_deref())?, value.to_string()))
        }
        Node::Alias { of, .. } => bind(of, schema),
        Node::Call { function, args, options } => {
            let args = args.iter().map(|arg| bind(arg, schema)).collect::<Result<Vec<_>>>()?;
            functions::call(function, args, &Options::new(function, options))
        }
        Node::When { branches, otherwise } => {
            let branches = branches
                .iter()
                .map(|(condition, value)| Ok((bind(condition, schema)?, bind(value, schema)?)))
                .collect::<Result<Vec<_>>>()?;
            let otherwise = otherwise.as_ref().map(|value| bind(value, schema)).transpose()?;
            logic::when(branches, otherwise)
        }
    }
}

/// The column `name`; if there is none, the field that the path `name` leads to.
fn column(name: &str, schema: &Schema) -> Result<Typed> {
    if let Ok(index) = schema.index_of(name) {
        return Ok(top(index, schema));
    }
    let whole = name;
    let mut rest = name;
    let mut found: Option<Typed> = None;
    while !rest.is_empty() {
        let (step, behind) = rest.split_once('.').unwrap_or((rest, ""));
        found = Some(match found {
            None => top(schema.index_of(step).map_err(|_| unknown(whole, schema))?, schema),
            Some(parent) => field(parent, step, whole)?,
        });
        rest = behind;
    }
    found.ok_or_else(|| unknown(whole, schema))
}

fn top(index: usize, schema: &Schema) -> Typed {
    let field = schema.field(index);
    Typed {
        plan: Plan::Column(index),
        data_type: field.data_type().clone(),
        text: field.name().clone(),
    }
}

fn unknown(name: &str, schema: &Schema) -> Error {
    let there: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    Error::Declaration(format!("there is no column {name:?}: there are {}", there.join(", ")))
}

/// Field `name` of a struct; null where the struct is.
fn field(parent: Typed, name: &str, whole: &str) -> Result<Typed> {
    let DataType::Struct(fields) = &parent.data_type else {
        return Err(Error::Declaration(format!(
            "col({whole:?}) reads a field of {}, which is {}: only a struct has fields",
            parent.text,
            describe(&parent.data_type)
        )));
    };
    let Some((index, _)) = fields.find(name) else {
        let there: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
        return Err(Error::Declaration(format!(
            "there is no field {name:?} in {}: there are {}",
            parent.text,
            there.join(", ")
        )));
    };
    let text = format!("{}.{name}", parent.text);
    let read = move |array: &ArrayRef| {
        let parent = array.as_any().downcast_ref::<StructArray>().expect("bound to a struct");
        let inner = parent.column(index).to_data();
        let nulls = NullBuffer::union(inner.nulls(), parent.nulls());
        Ok(make_array(inner.into_builder().nulls(nulls).build()?))
    };
    Ok(Typed { text, ..Typed::unary("field", parent, read)? })
}

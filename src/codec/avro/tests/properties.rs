//! What holds for any schema, any rows and any bytes.

use super::*;
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};

/// The JSON of a type, with a way to its values in Avro.
#[derive(Clone, Debug)]
enum Shape {
    Bool,
    Int,
    Long,
    Double,
    String,
    Bytes,
    Date,
    Micros,
    Enum,
    Maybe(Box<Self>),
    List(Box<Self>),
    Map(Box<Self>),
    Record(Vec<Self>),
}

fn shapes() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Bool),
        Just(Shape::Int),
        Just(Shape::Long),
        Just(Shape::Double),
        Just(Shape::String),
        Just(Shape::Bytes),
        Just(Shape::Date),
        Just(Shape::Micros),
        Just(Shape::Enum),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|s| match s {
                Shape::Maybe(_) => s,
                other => Shape::Maybe(Box::new(other)),
            }),
            inner.clone().prop_map(|s| Shape::List(Box::new(s))),
            inner.clone().prop_map(|s| Shape::Map(Box::new(s))),
            vec(inner, 1..4).prop_map(Shape::Record),
        ]
    })
}

impl Shape {
    fn schema(&self, names: &mut usize) -> Value {
        *names += 1;
        let name = format!("n{names}");
        match self {
            Self::Bool => json!("boolean"),
            Self::Int => json!("int"),
            Self::Long => json!("long"),
            Self::Double => json!("double"),
            Self::String => json!("string"),
            Self::Bytes => json!("bytes"),
            Self::Date => json!({"type": "int", "logicalType": "date"}),
            Self::Micros => json!({"type": "long", "logicalType": "timestamp-micros"}),
            Self::Enum => json!({"type": "enum", "name": name, "symbols": ["A", "B", "C"]}),
            Self::Maybe(of) => json!(["null", of.schema(names)]),
            Self::List(of) => json!({"type": "array", "items": of.schema(names)}),
            Self::Map(of) => json!({"type": "map", "values": of.schema(names)}),
            Self::Record(fields) => {
                let field = |(i, of): (usize, &Self)| json!({"name": format!("f{i}"), "type": of.schema(names)});
                let fields: Vec<Value> = fields.iter().enumerate().map(field).collect();
                json!({"type": "record", "name": name, "fields": fields})
            }
        }
    }

    /// Any value, in Avro.
    fn values(&self) -> BoxedStrategy<Vec<u8>> {
        let long = |value: i64| {
            let (mut rest, mut out) = (((value << 1) ^ (value >> 63)).cast_unsigned(), Vec::new());
            while rest >= 0x80 {
                out.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            out.push(rest as u8);
            out
        };
        let sized = move |bytes: Vec<u8>| [long(bytes.len() as i64), bytes].concat();
        let block = move |items: Vec<Vec<u8>>| match items.len() {
            0 => vec![0],
            n => [long(n as i64), items.concat(), vec![0]].concat(),
        };
        match self {
            Self::Bool => (0..2_u8).prop_map(|b| vec![b]).boxed(),
            Self::Int | Self::Date => any::<i32>().prop_map(move |v| long(v.into())).boxed(),
            Self::Long | Self::Micros => any::<i64>().prop_map(long).boxed(),
            Self::Double => any::<f64>().prop_map(|v| v.to_le_bytes().to_vec()).boxed(),
            Self::String => ".{0,6}".prop_map(move |s| sized(s.into_bytes())).boxed(),
            Self::Bytes => vec(any::<u8>(), 0..6).prop_map(sized).boxed(),
            Self::Enum => (0..3_i64).prop_map(long).boxed(),
            Self::Maybe(of) => {
                let one = of.values().prop_map(|v| [vec![2], v].concat());
                prop_oneof![Just(vec![0]), one].boxed()
            }
            Self::List(of) => vec(of.values(), 0..4).prop_map(block).boxed(),
            Self::Map(of) => btree_map("[a-z]{1,3}", of.values(), 0..3)
                .prop_map(move |entries| {
                    let entry = |(k, v): (String, Vec<u8>)| [sized(k.into_bytes()), v].concat();
                    block(entries.into_iter().map(entry).collect())
                })
                .boxed(),
            Self::Record(fields) => {
                fields.iter().fold(Just(Vec::new()).boxed(), |before, field| {
                    (before, field.values()).prop_map(|(a, b)| [a, b].concat()).boxed()
                })
            }
        }
    }
}

fn rows() -> impl Strategy<Value = (String, Vec<Vec<u8>>)> {
    vec(shapes(), 1..4).prop_map(Shape::Record).prop_flat_map(|shape| {
        let schema = shape.schema(&mut 0).to_string();
        vec(shape.values(), 1..5).prop_map(move |rows| (schema.clone(), rows))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// What is written by the specification, with all items in one block, comes back byte for byte.
    #[test]
    fn what_was_decoded_encodes_to_the_same_bytes((schema, rows) in rows()) {
        let out = decode(&format(&schema, &[]), &rows);
        prop_assert_eq!(&out.bad, &[]);
        prop_assert_eq!(encode(&schema, &out.batch).unwrap(), rows);
    }

    /// A record that ends too early is bad, wherever it ends.
    #[test]
    fn a_truncated_record_is_bad((schema, rows) in rows(), cut in any::<prop::sample::Index>()) {
        let whole = &rows[0];
        prop_assume!(!whole.is_empty());
        let values = [&whole[..cut.index(whole.len())], whole.as_slice()];
        let out = decode(&format(&schema, &[]), &values);
        prop_assert_eq!(out.bad.len(), 1);
        prop_assert_eq!(out.batch.num_rows(), 1);
        prop_assert_eq!(encode(&schema, &out.batch).unwrap(), vec![whole.clone()]);
    }

    /// Any bytes give a result, and good records around them their rows.
    #[test]
    fn any_bytes_give_a_result((schema, rows) in rows(), noise in vec(vec(any::<u8>(), 0..40), 1..6)) {
        let mut values = noise;
        values.insert(0, rows[0].clone());
        values.push(rows[0].clone());
        let out = decode(&format(&schema, &[]), &values);
        prop_assert_eq!(out.batch.num_rows() + out.bad.len(), values.len());
        let again = encode(&schema, &out.batch).unwrap();
        prop_assert_eq!(again.first(), Some(&rows[0]));
        prop_assert_eq!(again.last(), Some(&rows[0]));
    }
}

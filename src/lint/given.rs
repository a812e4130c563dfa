//! An argument as far as it can be told before the run, out of a script or out of YAML alike; and its check against the
//! schema of an operation.

use crate::model::Value;
use crate::model::span::Span;
use crate::playbook::types::Template;

/// An argument, with places of the kind `P`.
#[derive(Clone, Debug)]
pub enum Given<P> {
    /// Known.
    Literal(Value, P),
    /// Some text.
    Text(P),
    /// A list.
    List(Vec<Given<P>>, P),
    /// A map.
    Map(GivenMap<P>),
    /// Only the run will tell.
    Unknown(P),
}

/// A map whose names are known.
#[derive(Clone, Debug)]
pub struct GivenMap<P> {
    /// Name, its place, and what it is given.
    pub fields: Vec<(String, P, Given<P>)>,
    /// Its place.
    pub at: P,
}

impl<P: Copy> Given<P> {
    /// Its place.
    #[must_use]
    pub fn at(&self) -> P {
        match self {
            Self::Literal(_, at) | Self::Text(at) | Self::List(_, at) | Self::Unknown(at) => *at,
            Self::Map(map) => map.at,
        }
    }

    /// The value, when all of it is known.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        match self {
            Self::Literal(value, _) => Some(value.clone()),
            Self::Text(_) | Self::Unknown(_) => None,
            Self::List(items, _) => items.iter().map(Self::value).collect::<Option<_>>().map(Value::Array),
            Self::Map(map) => map
                .fields
                .iter()
                .map(|(name, _, item)| Some((name.clone(), item.value()?)))
                .collect::<Option<_>>()
                .map(Value::Object),
        }
    }

    /// The same with places of another kind.
    pub fn placed<Q>(&self, place: &impl Fn(&P) -> Q) -> Given<Q> {
        match self {
            Self::Literal(value, at) => Given::Literal(value.clone(), place(at)),
            Self::Text(at) => Given::Text(place(at)),
            Self::Unknown(at) => Given::Unknown(place(at)),
            Self::List(items, at) => Given::List(items.iter().map(|item| item.placed(place)).collect(), place(at)),
            Self::Map(map) => Given::Map(GivenMap {
                fields: map
                    .fields
                    .iter()
                    .map(|(name, at, item)| (name.clone(), place(at), item.placed(place)))
                    .collect(),
                at: place(&map.at),
            }),
        }
    }
}

impl Given<Span> {
    /// What a template gives.
    #[must_use]
    pub fn template(template: &Template) -> Self {
        match template {
            Template::Plain(value) => Self::plain(&value.value, value.span),
            Template::Expr(expr) => Self::Unknown(expr.span),
            Template::Text(_, span) => Self::Text(*span),
            Template::List(items, span) => Self::List(items.iter().map(Self::template).collect(), *span),
            Template::Map(fields, span) => Self::Map(GivenMap {
                fields: fields
                    .iter()
                    .map(|(name, item)| (name.value.clone(), name.span, Self::template(item)))
                    .collect(),
                at: *span,
            }),
        }
    }

    fn plain(value: &Value, span: Span) -> Self {
        match value {
            Value::Object(fields) => Self::Map(GivenMap {
                fields: fields.iter().map(|(name, item)| (name.clone(), span, Self::plain(item, span))).collect(),
                at: span,
            }),
            Value::Array(items) => Self::List(items.iter().map(|item| Self::plain(item, span)).collect(), span),
            other => Self::Literal(other.clone(), span),
        }
    }
}

//! The types of parameters as they are written: `string`, `list(string)`, `enum(local|hybrid)`.

use std::fmt;

use super::types::ParamType;

impl ParamType {
    /// The words with which a type begins.
    pub const NAMES: [&'static str; 11] =
        ["string", "int", "bool", "duration", "time", "size", "enum", "list", "map", "path", "secret"];

    /// Reads a type. `values` are those of an `enum` that does not write them itself.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn parse(text: &str, values: Option<&[String]>) -> Result<Self, String> {
        Self::parse_within(text.trim(), values, 0)
    }

    fn parse_within(text: &str, values: Option<&[String]>, depth: usize) -> Result<Self, String> {
        if depth > 4 {
            return Err("this type is nested too deeply".to_owned());
        }
        let (word, inner) = match text.split_once('(') {
            Some((word, rest)) => {
                let inner =
                    rest.trim_end().strip_suffix(')').ok_or_else(|| format!("`{}` is not closed", shorten(text)))?;
                (word.trim(), Some(inner.trim()))
            }
            None => (text, None),
        };
        let of = |inner: Option<&str>| {
            inner.map(|inner| Self::parse_within(inner, None, depth + 1).map(Box::new)).transpose()
        };
        let simple = |kind: Self| match inner {
            None => Ok(kind),
            Some(_) => Err(format!("the type `{word}` has nothing in parentheses")),
        };
        match word {
            "string" => simple(Self::String),
            "int" => simple(Self::Int),
            "bool" => simple(Self::Bool),
            "duration" => simple(Self::Duration),
            "time" => simple(Self::Time),
            "size" => simple(Self::Size),
            "path" => simple(Self::Path),
            "secret" => simple(Self::Secret),
            "list" => Ok(Self::List(of(inner)?)),
            "map" => Ok(Self::Map(of(inner)?)),
            "enum" => Self::enumeration(inner, values),
            _ => Err(format!("there is no parameter type `{}`", shorten(word))),
        }
    }

    fn enumeration(inner: Option<&str>, values: Option<&[String]>) -> Result<Self, String> {
        let found: Vec<String> = match (inner, values) {
            (Some(_), Some(_)) => return Err("the values stand here and in `values`: write them once".to_owned()),
            (Some(inner), None) => inner.split(['|', ',']).map(|value| value.trim().to_owned()).collect(),
            (None, Some(values)) => values.to_vec(),
            (None, None) => Vec::new(),
        };
        if found.is_empty() || found.iter().any(String::is_empty) {
            return Err("an enum says which values it has: `enum(local|hybrid)`".to_owned());
        }
        if let Some((_, twice)) = found.iter().enumerate().find(|(n, value)| found[..*n].contains(value)) {
            return Err(format!("the value `{}` stands twice in the enum", shorten(twice)));
        }
        Ok(Self::Enum(found))
    }
}

impl fmt::Display for ParamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Int => f.write_str("int"),
            Self::Bool => f.write_str("bool"),
            Self::Duration => f.write_str("duration"),
            Self::Time => f.write_str("time"),
            Self::Size => f.write_str("size"),
            Self::Path => f.write_str("path"),
            Self::Secret => f.write_str("secret"),
            Self::Enum(values) => write!(f, "enum({})", values.join("|")),
            Self::List(None) => f.write_str("list"),
            Self::List(Some(item)) => write!(f, "list({item})"),
            Self::Map(None) => f.write_str("map"),
            Self::Map(Some(item)) => write!(f, "map({item})"),
        }
    }
}

fn shorten(text: &str) -> String {
    super::yaml::shown(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_type_prints_as_it_is_written() {
        for text in ["string", "list", "list(int)", "map(list(size))", "enum(local|hybrid)", "secret"] {
            assert_eq!(ParamType::parse(text, None).map(|kind| kind.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(ParamType::parse("enum( a, b )", None), Ok(ParamType::Enum(vec!["a".into(), "b".into()])));
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in [
            "",
            "sting",
            "list(",
            "int(3)",
            "enum",
            "enum(a||b)",
            "enum(a|a)",
            "list(list(list(list(list(list(int))))))",
        ] {
            assert!(ParamType::parse(text, None).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_of_types_panic(text in "[a-z()|, ]{0,24}") {
            let _ = ParamType::parse(&text, None);
        }
    }
}

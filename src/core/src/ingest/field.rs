//! Reading a field of a foreign object without giving up the object: a value of the wrong type stays beside the good
//! ones, as text for the refusal.
//!
//! ```text
//!   "port": 80       Field::Valid(80)
//!   "port": "http"   Field::Wrong("\"http\"")      only this port is refused
//!   "port": null     Field::Absent                 as in the API
//! ```

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use smol_str::SmolStr;

use crate::text::excerpt;

/// A field of a Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field<T> {
    /// Not there, or null.
    Absent,
    /// There and of the right type.
    Valid(T),
    /// There and of a wrong type: its text, bounded and escaped.
    Wrong(Box<str>),
}

impl<T> Field<T> {
    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, if it has the right type.
    pub(crate) const fn valid(&self) -> Option<&T> {
        match self {
            Self::Valid(value) => Some(value),
            Self::Absent | Self::Wrong(_) => None,
        }
    }
}

/// By hand: derived, it would ask for a default of `T`.
impl<T> Default for Field<T> {
    fn default() -> Self {
        Self::Absent
    }
}

/// A list whose elements may be wrong one by one.
pub(crate) type List<T> = Vec<Field<T>>;

/// A type that a [`Field`] can hold: which of the six forms of JSON it is read from. `None` says: not a value of mine.
pub(crate) trait Shape: Sized {
    /// What is expected, with its article: the end of "is not ...".
    const EXPECTED: &'static str;
    /// Whether it is read from text. If not, text is quoted in refusals: `"80"` is not 80.
    const IS_TEXT: bool = false;

    fn from_bool(_: bool) -> Option<Self> {
        None
    }

    fn from_integer(_: i128) -> Option<Self> {
        None
    }

    fn from_text(_: &str) -> Option<Self> {
        None
    }

    fn from_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn from_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl Shape for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

/// Without an allocation where it is short, as names, addresses and times are.
impl Shape for SmolStr {
    const EXPECTED: &'static str = "text";
    const IS_TEXT: bool = true;

    fn from_text(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

impl<T: Shape> Shape for List<T> {
    const EXPECTED: &'static str = "a list";

    fn from_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut all = Self::new();
        while let Some(element) = list.next_element()? {
            all.push(element);
        }
        Ok(Some(all))
    }
}

/// Says that a type with serde's `Deserialize` is read from a JSON object.
macro_rules! map_shape {
    ($($type:ty),+) => {$(
        impl $crate::ingest::field::Shape for $type {
            const EXPECTED: &'static str = "an object";

            fn from_map<'de, A: serde::de::MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
                serde::Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Some)
            }
        }
    )+};
}
pub(super) use map_shape;

impl<'de, T: Shape> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyForm(PhantomData))
    }
}

struct AnyForm<T>(PhantomData<T>);

impl<T: Shape> AnyForm<T> {
    fn field(value: Option<T>, text: impl FnOnce() -> String) -> Field<T> {
        value.map_or_else(|| Field::Wrong(text().into()), Field::Valid)
    }
}

impl<'de, T: Shape> Visitor<'de> for AnyForm<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Self::field(T::from_bool(value), || value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_i128(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_i128(value.into())
    }

    fn visit_i128<E>(self, value: i128) -> Result<Self::Value, E> {
        Ok(Self::field(T::from_integer(value), || value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Self::Value, E> {
        Ok(Self::field(i128::try_from(value).ok().and_then(T::from_integer), || value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Field::Wrong(format!("{value:?}").into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let shown = || if T::IS_TEXT { excerpt(text) } else { format!("\"{}\"", excerpt(text)) };
        Ok(Self::field(T::from_text(text), shown))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Field::Wrong("(bytes)".into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Ok(Self::field(T::from_list(list)?, || "[...]".to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(Self::field(T::from_map(map)?, || "{...}".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ingest::raw::PortNumber;

    fn port(value: serde_json::Value) -> Field<PortNumber> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_form_is_a_value_or_its_text() {
        for number in [0, 1, 80, 65535] {
            assert_eq!(port(json!(number)), Field::Valid(PortNumber(number)));
        }
        for (value, text) in [
            (json!(-1), "-1"),
            (json!(65536), "65536"),
            (json!(u64::MAX), "18446744073709551615"),
            (json!(1.5), "1.5"),
            (json!(80.0), "80.0"),
            (json!("80"), "\"80\""),
            (json!(true), "true"),
            (json!([80]), "[...]"),
            (json!({"a": {"b": [1]}}), "{...}"),
            (json!("a\nb\u{1b}[31m"), "\"a\\nb\\u{1b}[31m\""),
        ] {
            assert_eq!(port(value), Field::Wrong(text.into()));
        }
        assert!(port(json!(null)).is_absent());
        assert_eq!(serde_json::from_value::<Field<SmolStr>>(json!("a")).unwrap().valid(), Some(&"a".into()));
    }
}

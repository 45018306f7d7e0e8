//! Plain copies of script values, taken with bounds.

use rquickjs::{Array, Object, Value};

/// Values one blueprint may hold.
const NODES_MAX: usize = 4_000_000;
/// Bytes of text one blueprint may hold.
const BYTES_MAX: usize = 64 << 20;
/// How deep values may nest.
const DEPTH_MAX: usize = 16;

/// A script value without its script.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Raw>),
    Map(Vec<(String, Raw)>),
    /// A typed array of bytes, as `fs.readFileSync` gives it.
    Bytes(Vec<u8>),
    /// Functions, symbols and the like, by their type's name.
    Other(&'static str),
}

impl Raw {
    /// The member `key` of a map; `Undefined` where there is none.
    pub(crate) fn get(&self, key: &str) -> &Raw {
        match self {
            Raw::Map(members) => {
                members.iter().find(|(name, _)| name == key).map_or(&Raw::Undefined, |(_, value)| value)
            }
            _ => &Raw::Undefined,
        }
    }

    /// Takes the member `key` out of a map.
    pub(crate) fn take(&mut self, key: &str) -> Raw {
        match self {
            Raw::Map(members) => members
                .iter_mut()
                .find(|(name, _)| name == key)
                .map_or(Raw::Undefined, |(_, value)| std::mem::replace(value, Raw::Undefined)),
            _ => Raw::Undefined,
        }
    }

    /// The list `key` of a map; an empty one where there is none.
    pub(crate) fn list(&self, key: &str) -> &[Raw] {
        match self.get(key) {
            Raw::List(items) => items,
            _ => &[],
        }
    }

    /// The text `key` of a map; an empty one where there is none.
    pub(crate) fn text(&self, key: &str) -> &str {
        match self.get(key) {
            Raw::Text(text) => text,
            _ => "",
        }
    }

    /// Whether it is left out.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Raw::Undefined | Raw::Null)
    }

    /// How it is called in an error message.
    pub(crate) fn describe(&self) -> String {
        match self {
            Raw::Undefined => "nothing".into(),
            Raw::Null => "null".into(),
            Raw::Bool(value) => value.to_string(),
            Raw::Number(value) => number(*value),
            Raw::Text(text) if text.chars().count() > 40 => {
                format!("'{}…'", text.chars().take(40).collect::<String>().escape_debug())
            }
            Raw::Text(text) => format!("'{}'", text.escape_debug()),
            Raw::List(_) => "a list".into(),
            Raw::Map(_) => "an object".into(),
            Raw::Bytes(_) => "bytes (readFileSync(path, 'utf8') gives text)".into(),
            Raw::Other(kind) => format!("a {kind}"),
        }
    }
}

/// A number as JavaScript writes it (ECMA-262, Number::toString): the shortest digits that read back the same,
/// with an exponent from 1e21 and below 1e-6.
pub(crate) fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let size = value.abs();
    if size == 0.0 {
        "0".into()
    } else if (1e-6..1e21).contains(&size) {
        value.to_string()
    } else {
        let text = format!("{value:e}");
        if size < 1.0 { text } else { text.replace('e', "e+") }
    }
}

/// Why a value could not be copied.
#[derive(Debug)]
pub(crate) enum CopyError {
    /// Reading it ran script code that threw.
    Thrown(rquickjs::Error),
    /// It is too large.
    TooLarge(&'static str),
    /// A key is no text: half a surrogate pair has no UTF-8 form.
    Key,
}

impl From<rquickjs::Error> for CopyError {
    fn from(error: rquickjs::Error) -> Self {
        CopyError::Thrown(error)
    }
}

/// Copies values until its budget is spent.
pub(crate) struct Copier {
    nodes: usize,
    bytes: usize,
}

impl Copier {
    pub(crate) fn new() -> Copier {
        Copier { nodes: NODES_MAX, bytes: BYTES_MAX }
    }

    pub(crate) fn copy(&mut self, value: &Value<'_>) -> Result<Raw, CopyError> {
        self.copy_at(value, DEPTH_MAX)
    }

    fn copy_at(&mut self, value: &Value<'_>, depth: usize) -> Result<Raw, CopyError> {
        self.nodes = self.nodes.checked_sub(1).ok_or(CopyError::TooLarge("too many values"))?;
        let depth = depth.checked_sub(1).ok_or(CopyError::TooLarge("values nest too deeply"))?;
        if let Some(array) = value.as_array() {
            return self.list(array, depth);
        }
        if let Some(text) = value.as_string() {
            return Ok(self.text(text)?.map_or(Raw::Other("string that is not valid Unicode"), Raw::Text));
        }
        if value.is_function() {
            return Ok(Raw::Other("function"));
        }
        if let Some(object) = value.as_object() {
            if object.is_typed_array::<u8>() {
                return self.bytes(object);
            }
            return self.map(object, depth);
        }
        Ok(match (value.as_bool(), value.as_number()) {
            (Some(value), _) => Raw::Bool(value),
            (_, Some(value)) => Raw::Number(value),
            _ if value.is_undefined() => Raw::Undefined,
            _ if value.is_null() => Raw::Null,
            _ => Raw::Other(value.type_name()),
        })
    }

    /// The text; `None` if it has half a surrogate pair, which has no UTF-8 form.
    fn text(&mut self, text: &rquickjs::String<'_>) -> Result<Option<String>, CopyError> {
        let text = match text.to_string() {
            Ok(text) => text,
            Err(rquickjs::Error::Utf8(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.bytes = self.bytes.checked_sub(text.len()).ok_or(CopyError::TooLarge("too much text"))?;
        Ok(Some(text))
    }

    fn list(&mut self, array: &Array<'_>, depth: usize) -> Result<Raw, CopyError> {
        // `Array::len` panics on lengths above 2^31.
        let length: f64 = array.as_object().get("length")?;
        if length > self.nodes as f64 {
            return Err(CopyError::TooLarge("a list is too long"));
        }
        let mut items = Vec::new();
        for at in 0..length as usize {
            items.push(self.copy_at(&array.get(at)?, depth)?);
        }
        Ok(Raw::List(items))
    }

    fn bytes(&mut self, array: &Object<'_>) -> Result<Raw, CopyError> {
        let length: f64 = array.get("length")?;
        if length > self.bytes as f64 {
            return Err(CopyError::TooLarge("a list of bytes is too long"));
        }
        self.bytes -= length as usize;
        let bytes: rquickjs::Result<Vec<u8>> = (0..length as u32).map(|at| array.get(at)).collect();
        Ok(Raw::Bytes(bytes?))
    }

    fn map(&mut self, object: &Object<'_>, depth: usize) -> Result<Raw, CopyError> {
        let mut members = Vec::new();
        for key in object.keys::<rquickjs::String<'_>>() {
            let key = key?;
            let value: Value<'_> = object.get(key.clone())?;
            members.push((self.text(&key)?.ok_or(CopyError::Key)?, self.copy_at(&value, depth)?));
        }
        Ok(Raw::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (80.0, "80"),
            (-1.5, "-1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.25e30, "-1.25e+30"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }
}

//! From values to the messages that modules, ports and hooks take, by the interface's schema.

use std::net::IpAddr;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor};
use prost_types::Any;

use super::{Call, Value};
use crate::bess::SCHEMA;

/// The interface's messages.
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(SCHEMA).expect("the schema is our own"));

/// What is wrong with an argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// The message has no field of that name.
    #[error("{of} has no argument `{name}`; it has {known}")]
    Unknown {
        /// The class or command.
        of: String,
        /// The name.
        name: String,
        /// What it has.
        known: String,
    },
    /// The value is of another kind.
    #[error("`{name}` is {wanted}")]
    Kind {
        /// The argument.
        name: String,
        /// What it is.
        wanted: String,
    },
}

/// A message by its name, such as `ACLArg`.
pub(crate) fn message(name: &str) -> Option<MessageDescriptor> {
    POOL.get_message_by_name(&format!("bess.pb.{name}"))
}

/// Encodes a call's arguments as message `name`; a message that is not known takes none.
pub(crate) fn encode(name: &str, call: &Call) -> Result<Any, ArgumentError> {
    let Some(kind) = message(name) else {
        return match call.arguments.first() {
            None => Ok(Any::default()),
            Some((argument, _)) => Err(ArgumentError::Unknown {
                of: call.name.clone(),
                name: argument.clone(),
                known: "none".to_owned(),
            }),
        };
    };
    let message = build(&kind, &call.name, &call.arguments)?;
    Ok(Any { type_url: format!("type.googleapis.com/bess.pb.{name}"), value: message.encode_to_vec() })
}

fn build(
    kind: &MessageDescriptor,
    of: &str,
    fields: &[(String, Value)],
) -> Result<DynamicMessage, ArgumentError> {
    let mut message = DynamicMessage::new(kind.clone());
    for (name, value) in fields {
        let field = kind.get_field_by_name(name).ok_or_else(|| ArgumentError::Unknown {
            of: of.to_owned(),
            name: name.clone(),
            known: known(kind),
        })?;
        message.set_field(&field, whole(&field, value)?);
    }
    Ok(message)
}

/// The fields of a message, for people.
pub(crate) fn known(kind: &MessageDescriptor) -> String {
    let names: Vec<String> = kind.fields().map(|field| field.name().to_owned()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// An argument of a class or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub kind: String,
}

/// The arguments that a message carries, such as `ACLArg`; none where it is not known.
///
/// ```
/// let fields = softnic::config::fields("ACLArg");
/// assert_eq!((fields[0].name.as_str(), &fields[0].kind[..24]), ("rules", "list of records of src_i"));
/// ```
pub fn fields(message: &str) -> Vec<Field> {
    let kind = |field: &FieldDescriptor| {
        if field.is_map() {
            return "a record".to_owned();
        }
        let one = describe(&field.kind());
        match one.strip_prefix("a record of ") {
            _ if !field.is_list() => one,
            Some(fields) => format!("list of records of {fields}"),
            None => format!("list, each {one}"),
        }
    };
    let message = self::message(message);
    let fields = message.iter().flat_map(MessageDescriptor::fields);
    fields.map(|field| Field { name: field.name().to_owned(), kind: kind(&field) }).collect()
}

/// The value of a field, which may be a list or a map.
fn whole(field: &FieldDescriptor, value: &Value) -> Result<prost_reflect::Value, ArgumentError> {
    if field.is_map() {
        let Value::Record(entries) = value else { return Err(wrong(field, "a record")) };
        let Kind::Message(entry) = field.kind() else { return Err(wrong(field, "a record")) };
        let (key, content) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let pair = |(name, value): &(String, Value)| {
            let key = match key.kind() {
                Kind::String => MapKey::String(name.clone()),
                Kind::Uint32 => MapKey::U32(name.parse().map_err(|_| wrong(field, "a record by numbers"))?),
                _ => return Err(wrong(field, "a record")),
            };
            Ok((key, single(&content, value)?))
        };
        return Ok(prost_reflect::Value::Map(entries.iter().map(pair).collect::<Result<_, _>>()?));
    }
    if field.is_list() {
        let Value::List(values) = value else { return Err(wrong(field, "a list")) };
        let values = values.iter().map(|value| single(field, value)).collect::<Result<_, _>>()?;
        return Ok(prost_reflect::Value::List(values));
    }
    single(field, value)
}

fn wrong(field: &FieldDescriptor, wanted: &str) -> ArgumentError {
    ArgumentError::Kind { name: field.name().to_owned(), wanted: wanted.to_owned() }
}

/// One value.
fn single(field: &FieldDescriptor, value: &Value) -> Result<prost_reflect::Value, ArgumentError> {
    use prost_reflect::Value as To;
    let kind = field.kind();
    let range = || wrong(field, "a whole number in range");
    Ok(match (&kind, value) {
        (Kind::Bool, Value::Bool(yes)) => To::Bool(*yes),
        (Kind::Int32, Value::Integer(number)) => To::I32((*number).try_into().map_err(|_| range())?),
        (Kind::Int64, Value::Integer(number)) => To::I64((*number).try_into().map_err(|_| range())?),
        (Kind::Uint32, Value::Integer(number)) => To::U32((*number).try_into().map_err(|_| range())?),
        (Kind::Uint64, Value::Integer(number)) => To::U64((*number).try_into().map_err(|_| range())?),
        (Kind::Double, Value::Float(number)) => To::F64(*number),
        (Kind::Double, Value::Integer(number)) => To::F64(*number as f64),
        (Kind::String, Value::Text(text)) => To::String(text.clone()),
        (Kind::String, Value::Integer(number)) => To::String(number.to_string()),
        (Kind::Bytes, _) => {
            To::Bytes(bytes(value).ok_or_else(|| wrong(field, "bytes, an IP or a MAC address"))?.into())
        }
        (Kind::Message(message), Value::Record(fields)) => To::Message(build(message, field.name(), fields)?),
        // A value for a field of a packet is a number or bytes.
        (Kind::Message(message), _) if message.name() == "FieldData" => {
            let name = if matches!(value, Value::Integer(_)) { "value_int" } else { "value_bin" };
            To::Message(build(message, field.name(), &[(name.to_owned(), value.clone())])?)
        }
        _ => return Err(wrong(field, &describe(&kind))),
    })
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Double => "a number".to_owned(),
        Kind::String => "text".to_owned(),
        Kind::Bytes => "bytes, or an IP or MAC address".to_owned(),
        Kind::Message(message) if message.name() == "FieldData" => "a number, or bytes".to_owned(),
        Kind::Message(message) => format!("a record of {}", known(message)),
        _ => "a whole number".to_owned(),
    }
}

/// Bytes as they are, or those of an address.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    let text = match value {
        Value::Bytes(bytes) => return Some(bytes.clone()),
        Value::Text(text) => text,
        _ => return None,
    };
    match text.parse() {
        Ok(IpAddr::V4(address)) => return Some(address.octets().to_vec()),
        Ok(IpAddr::V6(address)) => return Some(address.octets().to_vec()),
        Err(_) => {}
    }
    let parts: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    parts.filter(|parts| parts.len() == 6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bess::pb;
    use crate::config::{StatementKind, parse};

    fn call(text: &str) -> Call {
        match &parse(text).unwrap().statements[0].kind {
            StatementKind::Chain(chain) => chain[0].create.clone().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arguments_become_the_messages_that_clients_send() {
        let any =
            encode("ACLArg", &call("ACL(rules=[{src_ip: 10.0.0.0/8, dst_port: 53, drop: true}])")).unwrap();
        let arg = pb::AclArg::decode(any.value.as_slice()).unwrap();
        let rule = &arg.rules[0];
        assert_eq!((rule.src_ip.as_str(), rule.dst_port, rule.drop), ("10.0.0.0/8", 53, true));
        let any = encode("ExactMatchCommandAddArg", &call("add(gate=2, fields=[192.0.2.1, 7, hex\"00ff\"])"))
            .unwrap();
        let arg = pb::ExactMatchCommandAddArg::decode(any.value.as_slice()).unwrap();
        let encodings: Vec<_> = arg.fields.into_iter().map(|field| field.encoding.unwrap()).collect();
        use pb::field_data::Encoding::{ValueBin, ValueInt};
        assert_eq!(encodings, [ValueBin(vec![192, 0, 2, 1]), ValueInt(7), ValueBin(vec![0, 255])]);
    }

    #[test]
    fn errors_name_what_there_is() {
        let error = |name: &str, text: &str| encode(name, &call(text)).unwrap_err().to_string();
        assert_eq!(error("SourceArg", "Source(size=1)"), "Source has no argument `size`; it has pkt_size");
        assert_eq!(error("SourceArg", "Source(pkt_size=big)"), "`pkt_size` is a whole number");
        assert_eq!(error("SourceArg", "Source(pkt_size=-1)"), "`pkt_size` is a whole number in range");
        assert_eq!(error("UpdateArg", "Update(fields=[1])"), "`fields` is a record of offset, size, value");
    }
}

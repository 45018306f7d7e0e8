//! Messages about the connection and the switch as a whole: hello, error, features, configuration, role, what is sent
//! unasked (OpenFlow 1.0, sections 5.3.1, 5.3.2, 5.4.4, 5.5; 1.3.5, sections 7.3.1, 7.3.2, 7.3.9, 7.3.10, 7.5).

use super::port;
use super::read::Reader;
use super::write::{Put, unsayable};
use super::{DecodeError, EncodeError};
use crate::Version;
use crate::error::{BadRequest, EXPERIMENTER, ErrorCode, NICIRA_ERROR};
use crate::message::{AsyncConfig, Error, Features, Hello, HelloElement, Role, RoleMessage, SwitchConfig};
use crate::nicira;

/// `OFPHET_VERSIONBITMAP`.
const VERSION_BITMAP: u16 = 1;

/// Whatever a hello has behind its header is no reason to refuse it (1.3.5, section 7.5.1); what is malformed is left out.
pub(super) fn decode_hello(mut reader: Reader<'_>) -> Hello {
    let mut elements = Vec::new();
    while let Ok((kind, inner)) = reader.tlv(4, 1, "hello element", BadRequest::BadLen) {
        reader.pad8(inner.len() + 4);
        elements.push(element(kind, inner));
    }
    Hello { elements }
}

fn element(kind: u16, mut inner: Reader<'_>) -> HelloElement {
    let bytes = inner.rest();
    match (kind, bytes.as_chunks::<4>()) {
        (VERSION_BITMAP, (words, [])) => {
            HelloElement::VersionBitmap(words.iter().map(|word| u32::from_be_bytes(*word)).collect())
        }
        _ => HelloElement::Other(kind, bytes.to_vec()),
    }
}

pub(super) fn encode_hello(hello: &Hello, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    for element in &hello.elements {
        let start = out.len();
        match element {
            HelloElement::VersionBitmap(words) => {
                out.u16(VERSION_BITMAP);
                out.u16(0);
                words.iter().for_each(|word| out.u32(*word));
            }
            HelloElement::Other(kind, bytes) => {
                out.u16(*kind);
                out.u16(0);
                out.extend_from_slice(bytes);
            }
        }
        out.length(start, start + 2, "hello element")?;
        out.pad8(start);
    }
    Ok(())
}

pub(super) fn decode_error(version: Version, reader: &mut Reader<'_>) -> Result<Error, DecodeError> {
    let (kind, code) = (reader.u16()?, reader.u16()?);
    let mut code = ErrorCode::new(kind, code);
    match version {
        Version::V13 if kind == EXPERIMENTER => code.experimenter = Some(reader.u32()?),
        Version::V10 if (kind, code.code) == (NICIRA_ERROR, 0) => {
            // `nx_vendor_error`: the vendor, and a type and code of its own.
            let mut inner = *reader;
            if let (Ok(nicira::VENDOR), Ok(kind), Ok(within)) = (inner.u32(), inner.u16(), inner.u16()) {
                code = ErrorCode { kind, code: within, experimenter: Some(nicira::VENDOR) };
                *reader = inner;
            }
        }
        _ => {}
    }
    Ok(Error { code, data: reader.rest().to_vec() })
}

pub(super) fn encode_error(version: Version, error: &Error, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let code = error.code;
    match (version, code.experimenter) {
        (Version::V10, Some(nicira::VENDOR)) => {
            out.u16(NICIRA_ERROR);
            out.u16(0);
            out.u32(nicira::VENDOR);
            out.u16(code.kind);
            out.u16(code.code);
        }
        (Version::V10, Some(_)) => return Err(unsayable(version, "an experimenter's error")),
        (Version::V13, Some(_)) if code.kind != EXPERIMENTER => {
            return Err(unsayable(version, "an error of Nicira's of 1.0"));
        }
        (Version::V13, None) if code.kind == EXPERIMENTER => {
            return Err(EncodeError::Invalid("an experimenter's error without an experimenter"));
        }
        (_, experimenter) => {
            out.u16(code.kind);
            out.u16(code.code);
            if let Some(experimenter) = experimenter {
                out.u32(experimenter);
            }
        }
    }
    out.extend_from_slice(&error.data);
    Ok(())
}

pub(super) fn decode_features(version: Version, reader: &mut Reader<'_>) -> Result<Features, DecodeError> {
    let mut features = Features {
        datapath: reader.u64()?,
        buffers: reader.u32()?,
        tables: reader.u8()?,
        auxiliary: reader.u8()?,
        ..Features::default()
    };
    reader.skip(2)?;
    features.capabilities = reader.u32()?;
    features.actions = reader.u32()?;
    if version == Version::V10 {
        features.auxiliary = 0;
        features.ports = reader.all(|reader| port::decode(version, reader))?;
    }
    Ok(features)
}

pub(super) fn encode_features(
    version: Version,
    features: &Features,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.u64(features.datapath);
    out.u32(features.buffers);
    out.u8(features.tables);
    out.u8(if version == Version::V10 { 0 } else { features.auxiliary });
    out.u16(0);
    out.u32(features.capabilities);
    out.u32(features.actions);
    match version {
        Version::V10 => features.ports.iter().try_for_each(|port| port::encode(version, port, out)),
        Version::V13 if features.ports.is_empty() => Ok(()),
        Version::V13 => Err(unsayable(version, "the ports in the features (ask for their descriptions)")),
    }
}

pub(super) fn decode_config(reader: &mut Reader<'_>) -> Result<SwitchConfig, DecodeError> {
    Ok(SwitchConfig { flags: reader.u16()?, miss_send_len: reader.u16()? })
}

pub(super) fn encode_config(config: SwitchConfig, out: &mut Vec<u8>) {
    out.u16(config.flags);
    out.u16(config.miss_send_len);
}

pub(super) fn decode_role(reader: &mut Reader<'_>) -> Result<RoleMessage, DecodeError> {
    let role = match reader.u32()? {
        0 => Role::NoChange,
        1 => Role::Equal,
        2 => Role::Master,
        3 => Role::Slave,
        other => Role::Other(other),
    };
    reader.skip(4)?;
    Ok(RoleMessage { role, generation: reader.u64()? })
}

pub(super) fn encode_role(message: RoleMessage, out: &mut Vec<u8>) {
    out.u32(match message.role {
        Role::NoChange => 0,
        Role::Equal => 1,
        Role::Master => 2,
        Role::Slave => 3,
        Role::Other(other) => other,
    });
    out.u32(0);
    out.u64(message.generation);
}

pub(super) fn decode_async(reader: &mut Reader<'_>) -> Result<AsyncConfig, DecodeError> {
    let mut pair = || Ok([reader.u32()?, reader.u32()?]);
    Ok(AsyncConfig { packet_in: pair()?, port_status: pair()?, flow_removed: pair()? })
}

pub(super) fn encode_async(config: &AsyncConfig, out: &mut Vec<u8>) {
    for pair in [config.packet_in, config.port_status, config.flow_removed] {
        out.u32(pair[0]);
        out.u32(pair[1]);
    }
}

//! 1.0's match (OpenFlow 1.0, section 5.2.3).

use super::DecodeError;
use super::read::Reader;
use super::write::Put;
use crate::matching::MatchV10;

pub(super) fn decode_v10(reader: &mut Reader<'_>) -> Result<MatchV10, DecodeError> {
    let wildcards = reader.u32()?;
    let in_port = reader.u16()?;
    let (dl_src, dl_dst) = (reader.mac()?, reader.mac()?);
    let (dl_vlan, dl_vlan_pcp) = (reader.u16()?, reader.u8()?);
    reader.skip(1)?;
    let (dl_type, nw_tos, nw_proto) = (reader.u16()?, reader.u8()?, reader.u8()?);
    reader.skip(2)?;
    Ok(MatchV10 {
        wildcards,
        in_port,
        dl_src,
        dl_dst,
        dl_vlan,
        dl_vlan_pcp,
        dl_type,
        nw_tos,
        nw_proto,
        nw_src: reader.ipv4()?,
        nw_dst: reader.ipv4()?,
        tp_src: reader.u16()?,
        tp_dst: reader.u16()?,
    })
}

pub(super) fn encode_v10(matching: &MatchV10, out: &mut Vec<u8>) {
    out.u32(matching.wildcards);
    out.u16(matching.in_port);
    out.extend_from_slice(&matching.dl_src.0);
    out.extend_from_slice(&matching.dl_dst.0);
    out.u16(matching.dl_vlan);
    out.u8(matching.dl_vlan_pcp);
    out.u8(0);
    out.u16(matching.dl_type);
    out.u8(matching.nw_tos);
    out.u8(matching.nw_proto);
    out.u16(0);
    out.extend_from_slice(&matching.nw_src.octets());
    out.extend_from_slice(&matching.nw_dst.octets());
    out.u16(matching.tp_src);
    out.u16(matching.tp_dst);
}

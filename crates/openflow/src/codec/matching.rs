//! 1.0's match (OpenFlow 1.0, section 5.2.3).

use super::DecodeError;
use super::read::Reader;
use super::write::Block;
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

/// Bytes of the structure.
const MATCH_LEN: usize = 40;

pub(super) fn encode_v10(matching: &MatchV10, out: &mut Vec<u8>) {
    let mut block = Block::<MATCH_LEN>::new();
    block.u32(matching.wildcards);
    block.u16(matching.in_port);
    block.put(matching.dl_src.0);
    block.put(matching.dl_dst.0);
    block.u16(matching.dl_vlan);
    block.u8(matching.dl_vlan_pcp);
    block.u8(0);
    block.u16(matching.dl_type);
    block.u8(matching.nw_tos);
    block.u8(matching.nw_proto);
    block.u16(0);
    block.put(matching.nw_src.octets());
    block.put(matching.nw_dst.octets());
    block.u16(matching.tp_src);
    block.u16(matching.tp_dst);
    out.extend_from_slice(block.bytes());
}

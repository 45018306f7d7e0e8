//! The ports on which a blueprint reaches the outside.

use std::collections::BTreeSet;

use super::RuntimeError;
use super::edge::{OUTSIDE_PORTS_MAX, OutsidePorts};
use crate::model::{Blueprint, Party, Ports, Protocol};

/// Every port that a link opens to the outside, in as few ranges as there can be.
///
/// # Errors
/// When they are more of one protocol than the edge listens on.
pub(super) fn ports(blueprint: &Blueprint) -> Result<Vec<OutsidePorts>, RuntimeError> {
    let mut ranges = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let mut ports = BTreeSet::new();
        let links = blueprint.links.iter().filter(|link| link.to == Party::PublicInternet);
        for link in links.filter(|link| link.protocol.covers(protocol)) {
            ports.extend(link.ports.min..=link.ports.max);
            if ports.len() > OUTSIDE_PORTS_MAX {
                let (from, span) = (link.from.to_string(), link.span.clone());
                return Err(RuntimeError::OutsidePorts { from, span });
            }
        }
        for port in ports {
            match ranges.last_mut() {
                Some(OutsidePorts { protocol: same, ports })
                    if *same == protocol && ports.max.checked_add(1) == Some(port) =>
                {
                    ports.max = port;
                }
                _ => ranges.push(OutsidePorts { protocol, ports: Ports::one(port) }),
            }
        }
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Options, evaluate_text};

    fn of(links: &str) -> Result<Vec<(Protocol, String)>, String> {
        let text = format!(
            "import {{Container, PortRange, allow, publicInternet, tcp, udp}} from 'weft';\n\
             const a = new Container('a', {{command: ['x']}});\nconst b = new Container('b', {{command: ['x']}});\n{links}"
        );
        let blueprint = evaluate_text("out.js", &text, &Options::default()).unwrap().blueprint;
        let shown = |one: OutsidePorts| (one.protocol, one.ports.to_string());
        ports(&blueprint)
            .map(|ports| ports.into_iter().map(shown).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let ports = of("allow(a, publicInternet, 53); allow([a, b], publicInternet, tcp(54, 60));\n\
                        allow(b, publicInternet, udp(443)); allow(a, b, 80);");
        let ranges = [(Protocol::Tcp, "53-60"), (Protocol::Udp, "53"), (Protocol::Udp, "443")];
        assert_eq!(ports, Ok(ranges.map(|(protocol, range)| (protocol, range.to_owned())).into()));
    }

    #[test]
    fn more_ports_than_can_be_listened_on_are_refused() {
        let error = of("allow(a, publicInternet, tcp(1, 1024)); allow(b, publicInternet, tcp(2000));");
        assert!(error.as_ref().is_err_and(|text| text.contains("'b'") && text.contains("1024")), "{error:?}");
        assert!(of("allow(a, publicInternet, new PortRange(1, 1024));").is_ok());
        assert!(of("allow(a, publicInternet, new PortRange(1, 65535));").is_err());
    }
}

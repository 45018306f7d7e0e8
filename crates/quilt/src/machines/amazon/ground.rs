//! What instances stand on: a security group, a key pair, an image.

use std::collections::HashSet;

use base64::Engine;
use roxmltree::Node;

use super::answer::{items, text_of};
use super::{Amazon, DEPLOYMENT_TAG, Parameters, filters, tags, unless};
use crate::machines::ProviderError;
use crate::machines::plan::short_hash;
use crate::machines::provider::{Firewall, Opening};
use crate::model::Protocol;

/// Who publishes Ubuntu's images: Canonical.
const IMAGE_OWNER: &str = "099720109477";
/// Names of Ubuntu 24.04's images.
const IMAGE_NAME: &str = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*";
/// What an image calls its disk, unless it says.
const DISK: &str = "/dev/sda1";

/// What a group lets in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// From a network, on a port.
    Network { protocol: String, from: String, to: String, network: String },
    /// Everything from a group.
    Group { protocol: String, group: String },
}

impl Amazon {
    /// The security group of a deployment, with just these rules.
    pub(super) fn firewall(&self, deployment: &str, firewall: &Firewall) -> Result<String, ProviderError> {
        let name = format!("weft-{deployment}");
        let (group, there) = match self.group(&name)? {
            Some(found) => found,
            None => (self.make_group(deployment, &name)?, Vec::new()),
        };
        let mut wanted: Vec<Rule> = firewall.openings.iter().map(rule).collect();
        wanted.push(Rule::Group { protocol: "-1".into(), group: group.clone() });
        let there: HashSet<Rule> = there.into_iter().collect();
        for rule in &wanted {
            if !there.contains(rule) {
                let answer = self.http.call("AuthorizeSecurityGroupIngress", &permission(&group, rule));
                unless("InvalidPermission.Duplicate", answer)?;
            }
        }
        for rule in there.iter().filter(|rule| !wanted.contains(rule)) {
            let answer = self.http.call("RevokeSecurityGroupIngress", &permission(&group, rule));
            unless("InvalidPermission.NotFound", answer)?;
        }
        Ok(group)
    }

    /// A group by name, and what it lets in.
    fn group(&self, name: &str) -> Result<Option<(String, Vec<Rule>)>, ProviderError> {
        let answer = self.http.call("DescribeSecurityGroups", &filters(&[("group-name", name)]))?;
        answer.with(|root| {
            let group = items(root, "securityGroupInfo").next()?;
            Some((text_of(group, "groupId")?.to_owned(), rules(group)))
        })
    }

    fn make_group(&self, deployment: &str, name: &str) -> Result<String, ProviderError> {
        let mut parameters: Parameters = vec![
            ("GroupName".into(), name.to_owned()),
            ("GroupDescription".into(), format!("machines of {deployment}, made by weft")),
        ];
        parameters.extend(tags("security-group", 1, &[(DEPLOYMENT_TAG, deployment)]));
        let answer = self.http.call("CreateSecurityGroup", &parameters);
        if let Some(answer) = unless("InvalidGroup.Duplicate", answer)? {
            return answer.must("groupId", |root| text_of(root, "groupId").map(str::to_owned));
        }
        // Another request has made it in the meantime.
        let missing = || ProviderError::Missing(format!("security group {name} is there and cannot be seen"));
        Ok(self.group(name)?.ok_or_else(missing)?.0)
    }

    /// The name of the key pair of a public key.
    pub(super) fn key(&self, deployment: &str, ssh_key: &str) -> Result<String, ProviderError> {
        let name = format!("weft-{deployment}-{}", short_hash(&[ssh_key], 12));
        let answer = self.http.call("DescribeKeyPairs", &filters(&[("key-name", &name)]))?;
        if answer.with(|root| items(root, "keySet").next().is_some())? {
            return Ok(name);
        }
        let material = base64::engine::general_purpose::STANDARD.encode(ssh_key.trim());
        let mut parameters: Parameters =
            vec![("KeyName".into(), name.clone()), ("PublicKeyMaterial".into(), material)];
        parameters.extend(tags("key-pair", 1, &[(DEPLOYMENT_TAG, deployment)]));
        unless("InvalidKeyPair.Duplicate", self.http.call("ImportKeyPair", &parameters))?;
        Ok(name)
    }

    /// The newest image, and what it calls its disk.
    pub(super) fn image(&self) -> Result<(String, String), ProviderError> {
        let mut parameters =
            filters(&[("name", IMAGE_NAME), ("state", "available"), ("architecture", "x86_64")]);
        parameters.push(("Owner.1".into(), IMAGE_OWNER.into()));
        let answer = self.http.call("DescribeImages", &parameters)?;
        let newest = answer.with(|root| {
            let image = items(root, "imagesSet").max_by_key(|image| text_of(*image, "creationDate"))?;
            let disk = text_of(image, "rootDeviceName").unwrap_or(DISK).to_owned();
            Some((text_of(image, "imageId")?.to_owned(), disk))
        })?;
        newest.ok_or_else(|| {
            ProviderError::Missing(format!(
                "the region has no image {IMAGE_NAME} of {IMAGE_OWNER} (Canonical)"
            ))
        })
    }

    /// Deletes the groups of a deployment. Says which.
    pub(super) fn delete_firewalls(&self, deployment: &str) -> Result<Vec<String>, ProviderError> {
        let of = format!("tag:{DEPLOYMENT_TAG}");
        let answer = self.http.call("DescribeSecurityGroups", &filters(&[(&of, deployment)]))?;
        let groups: Vec<(String, String)> = answer.with(|root| {
            let both = |group| {
                Some((text_of(group, "groupId")?.to_owned(), text_of(group, "groupName")?.to_owned()))
            };
            items(root, "securityGroupInfo").filter_map(both).collect()
        })?;
        for (id, _) in &groups {
            let answer = self.http.call("DeleteSecurityGroup", &[("GroupId".into(), id.clone())]);
            unless("InvalidGroup.NotFound", answer)?;
        }
        Ok(groups.into_iter().map(|(_, name)| name).collect())
    }

    /// Deletes the key pairs of a deployment. Says which.
    pub(super) fn delete_keys(&self, deployment: &str) -> Result<Vec<String>, ProviderError> {
        let of = format!("tag:{DEPLOYMENT_TAG}");
        let answer = self.http.call("DescribeKeyPairs", &filters(&[(&of, deployment)]))?;
        let names: Vec<String> = answer.with(|root| {
            items(root, "keySet").filter_map(|key| text_of(key, "keyName").map(str::to_owned)).collect()
        })?;
        for name in &names {
            let answer = self.http.call("DeleteKeyPair", &[("KeyName".into(), name.clone())]);
            unless("InvalidKeyPair.NotFound", answer)?;
        }
        Ok(names)
    }
}

fn rule(opening: &Opening) -> Rule {
    let protocol = if opening.protocol == Protocol::Udp { "udp" } else { "tcp" };
    let port = opening.port.to_string();
    Rule::Network {
        protocol: protocol.into(),
        from: port.clone(),
        to: port,
        network: opening.network.clone(),
    }
}

/// What a group lets in; prefix lists, which weft never sets, are left alone.
pub(super) fn rules(group: Node<'_, '_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for permission in items(group, "ipPermissions") {
        let text = |name| text_of(permission, name).unwrap_or_default().to_owned();
        let protocol = text("ipProtocol");
        for (list, name) in [("ipRanges", "cidrIp"), ("ipv6Ranges", "cidrIpv6")] {
            for range in items(permission, list) {
                let network = text_of(range, name).unwrap_or_default().to_owned();
                let (from, to) = (text("fromPort"), text("toPort"));
                rules.push(Rule::Network { protocol: protocol.clone(), from, to, network });
            }
        }
        for pair in items(permission, "groups") {
            let group = text_of(pair, "groupId").unwrap_or_default().to_owned();
            rules.push(Rule::Group { protocol: protocol.clone(), group });
        }
    }
    rules
}

/// Parameters that name one rule of a group.
fn permission(group: &str, rule: &Rule) -> Parameters {
    let of = |name: &str, value: &str| (format!("IpPermissions.1.{name}"), value.to_owned());
    let mut parameters: Parameters = vec![("GroupId".into(), group.to_owned())];
    match rule {
        Rule::Network { protocol, from, to, network } => {
            parameters.push(of("IpProtocol", protocol));
            // A rule of all protocols has no ports.
            parameters.extend((!from.is_empty()).then(|| of("FromPort", from)));
            parameters.extend((!to.is_empty()).then(|| of("ToPort", to)));
            let range = if network.contains(':') { "Ipv6Ranges.1.CidrIpv6" } else { "IpRanges.1.CidrIp" };
            parameters.push(of(range, network));
        }
        Rule::Group { protocol, group } => {
            parameters.push(of("IpProtocol", protocol));
            parameters.push(of("Groups.1.GroupId", group));
        }
    }
    parameters
}

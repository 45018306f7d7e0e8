//! Elastic addresses: those of the account's that a blueprint names, and those rented for a machine.

use std::net::IpAddr;

use super::answer::{items, tag, text_of};
use super::{Amazon, DEPLOYMENT_TAG, MACHINE_TAG, Parameters, filters, tags, unless};
use crate::machines::ProviderError;
use crate::machines::provider::Found;
use crate::model::Floating;

/// An elastic address.
struct Elastic {
    address: String,
    allocation: String,
    /// The instance that has it.
    instance: Option<String>,
    /// That it has it.
    association: Option<String>,
    /// The machine that it was rented for.
    machine: Option<String>,
}

impl Amazon {
    /// Gives an instance its address.
    pub(super) fn associate(
        &self,
        deployment: &str,
        machine: &Found,
        floating: &Floating,
    ) -> Result<IpAddr, ProviderError> {
        let elastic = match floating {
            Floating::Of(address) => self
                .elastic(&[("public-ip", address)])
                .or_else(|error| match error {
                    ProviderError::Refused { code, .. } if code == "InvalidAddress.NotFound" => Ok(Vec::new()),
                    other => Err(other),
                })?
                .pop()
                .ok_or_else(|| {
                    ProviderError::Missing(format!(
                        "the account has no elastic address {address} in this region: allocate it, or let floatingIp be true"
                    ))
                })?,
            _ => self.rented(deployment, &machine.name)?,
        };
        let not_an_address = |_| ProviderError::Missing(format!("'{}' is no address", elastic.address));
        let address: IpAddr = elastic.address.parse().map_err(not_an_address)?;
        match &elastic.instance {
            Some(instance) if *instance == machine.id => return Ok(address),
            // It moves from a machine of this deployment that is to go; whose else it is, is not ours to say.
            Some(instance) if !self.is_ours(deployment, instance)? => {
                return Err(ProviderError::Missing(format!(
                    "elastic address {} belongs to instance {instance}, which is not of this deployment",
                    elastic.address
                )));
            }
            _ => {}
        }
        let parameters = [
            ("AllocationId".to_owned(), elastic.allocation),
            ("InstanceId".to_owned(), machine.id.clone()),
            ("AllowReassociation".to_owned(), "true".to_owned()),
        ];
        self.http.call("AssociateAddress", &parameters)?;
        Ok(address)
    }

    fn is_ours(&self, deployment: &str, instance: &str) -> Result<bool, ProviderError> {
        let of = format!("tag:{DEPLOYMENT_TAG}");
        Ok(!self.instances(&[("instance-id", instance), (&of, deployment)])?.is_empty())
    }

    /// The address that was rented for a machine, or a new one.
    fn rented(&self, deployment: &str, machine: &str) -> Result<Elastic, ProviderError> {
        let (deployment_tag, machine_tag) = (format!("tag:{DEPLOYMENT_TAG}"), format!("tag:{MACHINE_TAG}"));
        let there = self.elastic(&[(&deployment_tag, deployment), (&machine_tag, machine)])?;
        if let Some(elastic) = there.into_iter().next() {
            return Ok(elastic);
        }
        let mut parameters: Parameters = vec![("Domain".into(), "vpc".into())];
        parameters.extend(tags("elastic-ip", 1, &[(DEPLOYMENT_TAG, deployment), (MACHINE_TAG, machine)]));
        let answer = self.http.call("AllocateAddress", &parameters)?;
        answer.must("allocationId", |root| {
            Some(Elastic {
                address: text_of(root, "publicIp")?.to_owned(),
                allocation: text_of(root, "allocationId")?.to_owned(),
                instance: None,
                association: None,
                machine: Some(machine.to_owned()),
            })
        })
    }

    fn elastic(&self, of: &[(&str, &str)]) -> Result<Vec<Elastic>, ProviderError> {
        let answer = self.http.call("DescribeAddresses", &filters(of))?;
        answer.with(|root| {
            let read = |item| {
                Some(Elastic {
                    address: text_of(item, "publicIp")?.to_owned(),
                    allocation: text_of(item, "allocationId")?.to_owned(),
                    instance: text_of(item, "instanceId").map(str::to_owned),
                    association: text_of(item, "associationId").map(str::to_owned),
                    machine: tag(item, MACHINE_TAG).map(str::to_owned),
                })
            };
            items(root, "addressesSet").filter_map(read).collect()
        })
    }

    /// Gives back the addresses that were rented for machines which are gone or going. Says which.
    pub(super) fn release_unused(&self, deployment: &str) -> Result<Vec<String>, ProviderError> {
        let of = format!("tag:{DEPLOYMENT_TAG}");
        let rented = self.elastic(&[(&of, deployment)])?;
        if rented.is_empty() {
            return Ok(Vec::new());
        }
        let machines = self.instances(&[(&of, deployment)])?;
        let mut released = Vec::new();
        for elastic in rented {
            let is_alive =
                |found: &Found| found.state.is_alive() && Some(&found.name) == elastic.machine.as_ref();
            if machines.iter().any(is_alive) {
                continue;
            }
            if let Some(association) = elastic.association {
                let parameters = [("AssociationId".to_owned(), association)];
                unless("InvalidAssociationID.NotFound", self.http.call("DisassociateAddress", &parameters))?;
            }
            let parameters = [("AllocationId".to_owned(), elastic.allocation)];
            unless("InvalidAllocationID.NotFound", self.http.call("ReleaseAddress", &parameters))?;
            released.push(elastic.address);
        }
        Ok(released)
    }
}

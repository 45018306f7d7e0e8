//! Amazon's machines, through EC2's API.
//!
//! | of weft | of Amazon |
//! |---|---|
//! | machine | instance, in the default network of the region, of the newest Ubuntu 24.04 |
//! | spot | instance at the market's price (`InstanceMarketOptions`), one-time |
//! | firewall | security group `weft-DEPLOYMENT` |
//! | key | key pair of the first SSH key; all keys are in the user data too |
//! | floating address | elastic address |
//!
//! Everything has the tag `weft:deployment`, set by the request that makes it; instances also `weft:machine`,
//! `weft:node` and `weft:fingerprint`.

mod addresses;
mod answer;
mod credentials;
mod ground;
mod http;

use std::net::IpAddr;

use base64::Engine;
use roxmltree::Node;

use self::http::{Http, Parameters};
use super::ProviderError;
use super::provider::{Boot, Cleaned, Firewall, Found, Ground, Provider, State};
use crate::model::{Floating, Role};
use answer::{items, member, tag, text_of};

/// Tag of everything: which deployment it is of.
const DEPLOYMENT_TAG: &str = "weft:deployment";
/// Tag of an instance: which machine it is.
const MACHINE_TAG: &str = "weft:machine";
/// Tag of an instance: what the cluster calls it.
const NODE_TAG: &str = "weft:node";
/// Tag of an instance: what was asked for.
const PRINT_TAG: &str = "weft:fingerprint";
/// Most pages of one answer.
const PAGES_MAX: usize = 100;
/// Most instances that one request gives back.
const TERMINATE_MAX: usize = 100;
/// How often it is looked for an instance that was booted by the same request before.
const SIGHTINGS_MAX: u32 = 10;
/// The pause between.
const SIGHTING_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Amazon's machines in one region.
pub struct Amazon {
    http: Http,
}

impl std::fmt::Debug for Amazon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Amazon").finish_non_exhaustive()
    }
}

impl Amazon {
    /// With the credentials of the environment or of a profile. `AWS_ENDPOINT_URL_EC2` and `AWS_ENDPOINT_URL` name
    /// another place where the API is served.
    ///
    /// # Errors
    /// When there are no credentials.
    pub fn from_env(region: &str) -> Result<Amazon, ProviderError> {
        Ok(Amazon { http: Http::new(credentials::Credentials::find()?, region)? })
    }

    /// Every instance that the filters choose.
    fn instances(&self, filters: &[(&str, &str)]) -> Result<Vec<Found>, ProviderError> {
        let mut found = Vec::new();
        let mut parameters = self::filters(filters);
        for _ in 0..PAGES_MAX {
            let answer = self.http.call("DescribeInstances", &parameters)?;
            let next = answer.with(|root| {
                for reservation in items(root, "reservationSet") {
                    found.extend(items(reservation, "instancesSet").filter_map(instance));
                }
                text_of(root, "nextToken").map(str::to_owned)
            })?;
            parameters.retain(|(name, _)| name != "NextToken");
            match next {
                Some(token) => parameters.push(("NextToken".into(), token)),
                None => break,
            }
        }
        Ok(found)
    }

    /// The instance that a request with the same token has booted before. What was made a moment ago may not show yet.
    fn sighted(&mut self, deployment: &str, boot: &Boot) -> Result<Found, ProviderError> {
        for _ in 0..SIGHTINGS_MAX {
            // The node's name has some of the token.
            let found = self.machines(deployment)?.into_iter().find(|found| found.node == boot.node);
            if let Some(found) = found.filter(|found| found.state.is_alive()) {
                return Ok(found);
            }
            std::thread::sleep(SIGHTING_PAUSE);
        }
        Err(ProviderError::TokenSpent)
    }
}

impl Provider for Amazon {
    fn machines(&mut self, deployment: &str) -> Result<Vec<Found>, ProviderError> {
        self.instances(&[(&format!("tag:{DEPLOYMENT_TAG}"), deployment)])
    }

    fn prepare(
        &mut self,
        deployment: &str,
        firewall: &Firewall,
        ssh_key: Option<&str>,
    ) -> Result<Ground, ProviderError> {
        let group = self.firewall(deployment, firewall)?;
        let key = ssh_key.map(|key| self.key(deployment, key)).transpose()?;
        let (image, disk) = self.image()?;
        Ok(Ground { firewall: group, key, image, disk })
    }

    fn boot(&mut self, deployment: &str, ground: &Ground, boot: &Boot) -> Result<Found, ProviderError> {
        let parameters = run(deployment, ground, boot);
        match self.http.call("RunInstances", &parameters) {
            Ok(answer) => answer
                .must("instance", |root| items(root, "instancesSet").find_map(instance))
                .and_then(|found| match found.state {
                    // The same request again is answered with what it booted, whatever became of it.
                    State::Booting | State::Running => Ok(found),
                    State::Stopping | State::Gone => Err(ProviderError::TokenSpent),
                }),
            Err(ProviderError::Refused { code, .. }) if code == "IdempotentInstanceTerminated" => {
                Err(ProviderError::TokenSpent)
            }
            Err(ProviderError::Refused { code, .. }) if code == "IdempotentParameterMismatch" => {
                self.sighted(deployment, boot)
            }
            Err(error) => Err(error),
        }
    }

    fn float(
        &mut self,
        deployment: &str,
        machine: &Found,
        floating: &Floating,
    ) -> Result<IpAddr, ProviderError> {
        self.associate(deployment, machine, floating)
    }

    fn terminate(&mut self, ids: &[String]) -> Result<(), ProviderError> {
        for some in ids.chunks(TERMINATE_MAX) {
            match self.http.call("TerminateInstances", &numbered("InstanceId", some)) {
                Ok(_) => {}
                // It was gone so long ago that it is forgotten: then the others are told one by one.
                Err(ProviderError::Refused { code, .. }) if code == "InvalidInstanceID.NotFound" => {
                    for one in some {
                        let answer = self.http.call("TerminateInstances", &numbered("InstanceId", [one]));
                        unless("InvalidInstanceID.NotFound", answer)?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn release(&mut self, deployment: &str) -> Result<Vec<String>, ProviderError> {
        self.release_unused(deployment)
    }

    fn clean(&mut self, deployment: &str) -> Result<Cleaned, ProviderError> {
        Ok(Cleaned {
            addresses: self.release_unused(deployment)?,
            firewalls: self.delete_firewalls(deployment)?,
            keys: self.delete_keys(deployment)?,
        })
    }
}

/// Reads a text as whatever Amazon could mean by it.
pub(crate) fn read_anything(text: &str) {
    let _ = answer::Answer::refusal(text);
    let _ = credentials::profile_of(text, "default");
    for action in ["DescribeInstances", "DescribeSecurityGroups"] {
        let Ok(answer) = answer::Answer::read(action, text.to_owned()) else { continue };
        let read = answer.with(|root| {
            let reservations = items(root, "reservationSet");
            let instances =
                reservations.flat_map(|one| items(one, "instancesSet")).filter_map(instance).count();
            let groups = items(root, "securityGroupInfo").map(|group| ground::rules(group).len());
            instances + groups.sum::<usize>()
        });
        debug_assert!(read.is_ok(), "what was read once can be read again");
    }
}

/// That something is not there is as good as having deleted it.
fn unless<T>(code: &str, answer: Result<T, ProviderError>) -> Result<Option<T>, ProviderError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ProviderError::Refused { code: found, .. }) if found == code => Ok(None),
        Err(error) => Err(error),
    }
}

fn filters(all: &[(&str, &str)]) -> Parameters {
    let of = |(at, (name, value)): (usize, &(&str, &str))| {
        let at = at + 1;
        [
            (format!("Filter.{at}.Name"), (*name).to_owned()),
            (format!("Filter.{at}.Value.1"), (*value).to_owned()),
        ]
    };
    all.iter().enumerate().flat_map(of).collect()
}

fn numbered(name: &str, values: impl IntoIterator<Item = impl ToString>) -> Parameters {
    let values = values.into_iter().enumerate();
    values.map(|(at, value)| (format!("{name}.{}", at + 1), value.to_string())).collect()
}

/// Tags, set by the request that makes a thing of that type.
fn tags(kind: &str, at: usize, all: &[(&str, &str)]) -> Parameters {
    let mut parameters = vec![(format!("TagSpecification.{at}.ResourceType"), kind.to_owned())];
    for (number, (key, value)) in all.iter().enumerate() {
        let of = format!("TagSpecification.{at}.Tag.{}", number + 1);
        parameters.push((format!("{of}.Key"), (*key).to_owned()));
        parameters.push((format!("{of}.Value"), (*value).to_owned()));
    }
    parameters
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html>
fn run(deployment: &str, ground: &Ground, boot: &Boot) -> Parameters {
    let name = format!("{deployment} {}", boot.name);
    let size = boot.disk_gib.to_string();
    let data = base64::engine::general_purpose::STANDARD.encode(&boot.user_data);
    let fixed = [
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("ImageId", ground.image.as_str()),
        ("InstanceType", boot.size.as_str()),
        ("ClientToken", boot.token.as_str()),
        ("SecurityGroupId.1", ground.firewall.as_str()),
        ("UserData", data.as_str()),
        ("BlockDeviceMapping.1.DeviceName", ground.disk.as_str()),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", size.as_str()),
        ("BlockDeviceMapping.1.Ebs.VolumeType", "gp3"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
        // What is in the user data is a secret: only the machine itself is told it, not what runs in its containers.
        ("MetadataOptions.HttpTokens", "required"),
        ("MetadataOptions.HttpPutResponseHopLimit", "1"),
    ];
    let mut parameters: Parameters =
        fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if let Some(key) = &ground.key {
        parameters.push(("KeyName".into(), key.clone()));
    }
    if boot.is_spot {
        parameters.push(("InstanceMarketOptions.MarketType".into(), "spot".into()));
        parameters.push(("InstanceMarketOptions.SpotOptions.SpotInstanceType".into(), "one-time".into()));
        if let Some(price) = boot.max_price_micros {
            let dollars = format!("{}.{:06}", price / 1_000_000, price % 1_000_000);
            parameters.push(("InstanceMarketOptions.SpotOptions.MaxPrice".into(), dollars));
        }
    }
    let of = [
        (DEPLOYMENT_TAG, deployment),
        (MACHINE_TAG, boot.name.as_str()),
        (NODE_TAG, boot.node.as_str()),
        (PRINT_TAG, boot.fingerprint.as_str()),
        ("Name", name.as_str()),
    ];
    parameters.extend(tags("instance", 1, &of));
    parameters.extend(tags("volume", 2, &[(DEPLOYMENT_TAG, deployment), ("Name", &name)]));
    parameters
}

/// An instance of ours; another's has no tags of ours.
fn instance(node: Node<'_, '_>) -> Option<Found> {
    let name = tag(node, MACHINE_TAG)?.to_owned();
    let state = member(node, "instanceState").and_then(|state| text_of(state, "name"));
    let address = |name| text_of(node, name).and_then(|text| text.parse().ok());
    Some(Found {
        id: text_of(node, "instanceId")?.to_owned(),
        role: if name.starts_with("master-") { Role::Master } else { Role::Worker },
        name,
        size: text_of(node, "instanceType").unwrap_or_default().to_owned(),
        is_spot: text_of(node, "instanceLifecycle") == Some("spot"),
        state: match state {
            Some("pending") => State::Booting,
            Some("running") => State::Running,
            Some("terminated") => State::Gone,
            _ => State::Stopping,
        },
        node: tag(node, NODE_TAG).unwrap_or_default().to_owned(),
        fingerprint: tag(node, PRINT_TAG).unwrap_or_default().to_owned(),
        private_address: address("privateIpAddress"),
        public_address: address("ipAddress"),
    })
}

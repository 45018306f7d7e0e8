//! The processes that carry a deployment, as `up` finds them and starts them: dataplane and edge.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use host::Status;
use softnic::daemon::Client;

use super::edge::{EdgeClient, PublishedPort};
use super::spec::edge_network;
use super::store::Role;
use super::up::{EDGE_PORT, Progress, Up, cut_off};
use super::{RuntimeError, launcher, outside, process, publish};
use crate::compile::EDGE;
use crate::model::{Party, Publish};

impl Up<'_> {
    pub(super) fn connect_dataplane(&self) -> Result<Client, RuntimeError> {
        Ok(Client::connect(&self.deployment.socket(Role::Dataplane))?)
    }

    /// The dataplane, started if it is not there.
    pub(super) fn living_dataplane(
        &mut self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Client, RuntimeError> {
        if self.deployment.alive(Role::Sandbox)?.is_none() {
            process::start(self.deployment, Role::Sandbox)?;
        }
        if self.deployment.alive(Role::Dataplane)?.is_some()
            && let Ok(mut dataplane) = self.connect_dataplane()
            && dataplane.hello().is_ok()
        {
            return Ok(dataplane);
        }
        progress(Progress::Step("starting the dataplane"));
        if let Some(stuck) = self.deployment.process(Role::Dataplane)? {
            process::end(&[stuck]);
        }
        process::start(self.deployment, Role::Dataplane)?;
        self.connect_dataplane()
    }

    /// Attaches what lives and is not attached: after the dataplane was started again, or because a command was killed
    /// before it came to it.
    pub(super) fn attach_living(
        &self,
        dataplane: &mut Client,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), RuntimeError> {
        let attached = dataplane.hello()?.ports;
        for container in self.deployment.containers().containers()? {
            let living = Status::observe(&container)?.filter(|status| status.init.is_alive());
            let spec = container.journal()?.map(|journal| journal.spec);
            let port = self.port(container.name()).filter(|port| !attached.contains(port));
            let parts = living.zip(spec).zip(port);
            if let Some(((status, spec), port)) = parts
                && let Some(device) = launcher::device(&spec, status.init)
                && let Err(error) = launcher::attach(dataplane, port, &spec, device)
            {
                progress(Progress::Warning(format!("{} is cut off: {error}", container.name())));
            }
        }
        if let Some(edge) = self.deployment.alive(Role::Edge)?.filter(|_| !attached.contains(&EDGE_PORT)) {
            let network = edge_network(edge);
            dataplane.attach(EDGE_PORT, EDGE, launcher::device_of(&network.kind, edge))?;
        }
        Ok(())
    }

    /// The edge process, if it is of use.
    pub(super) fn living_edge(&self) -> Result<Option<EdgeClient>, RuntimeError> {
        let Some(noted) = self.deployment.process(Role::Edge)? else { return Ok(None) };
        if noted.is_alive()
            && !cut_off(self.deployment)?
            && let Ok(edge) = EdgeClient::connect(&self.deployment.socket(Role::Edge))
        {
            return Ok(Some(edge));
        }
        // Even one that was killed just now may still hold its ports for a moment.
        process::end(&[noted]);
        Ok(None)
    }

    /// The edge process, started if ports are published or links lead outside and it is not there.
    pub(super) fn served_edge(
        &self,
        living: Option<EdgeClient>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<EdgeClient>, RuntimeError> {
        let needed = !self.wanted.publishes.is_empty() || !outside::ports(self.wanted)?.is_empty();
        if living.is_some() || !needed {
            return Ok(living);
        }
        progress(Progress::Step("starting the edge"));
        process::start(self.deployment, Role::Edge)?;
        Ok(Some(EdgeClient::connect(&self.deployment.socket(Role::Edge))?))
    }

    /// Leads the published ports to their targets, and closes those that are no longer wanted.
    pub(super) fn publish(
        &self,
        edge: &EdgeClient,
        mut sockets: BTreeMap<PublishedPort, OwnedFd>,
    ) -> Result<(), RuntimeError> {
        let wanted: BTreeSet<_> = self.wanted.publishes.iter().map(publish::port_of).collect();
        for served in edge.list()? {
            if !wanted.contains(&served.port) {
                edge.withdraw(served.port)?;
            }
        }
        for publish in &self.wanted.publishes {
            let Some(target) = self.target(publish) else { continue };
            let port = publish::port_of(publish);
            let socket = sockets.remove(&port);
            edge.publish(port, target, socket.as_ref().map(AsFd::as_fd))?;
        }
        Ok(())
    }

    /// Where a published port leads.
    fn target(&self, publish: &Publish) -> Option<SocketAddr> {
        let address = match &publish.to {
            Party::Container(name) | Party::Service(name) => self.record.addresses.get(name),
            Party::PublicInternet => None,
        };
        address.map(|address| SocketAddr::from((address.ipv4, publish.container_port)))
    }
}

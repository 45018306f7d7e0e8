//! Published ports as listeners and routes of a gateway.

use super::{Exporter, Manifest};
use crate::fault::{Fault, Kind};
use crate::kubernetes::gateway::{
    self, AllowedRoutes, BackendRef, EXPERIMENTAL, GatewaySpec, Listener, ParentRef, RouteKind,
    RouteNamespaces, RouteRule, RouteSpec, STABLE,
};
use crate::kubernetes::manifest::{LabelSelector, Object, Peer};
use crate::model::{Protocol, Publish};

/// Most listeners of a gateway, as the API has it.
const LISTENERS_MAX: usize = 64;
/// Label that every namespace has: its name.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// Published ports as a gateway of the Gateway API, in place of services of their own.
#[derive(Clone, Copy, Debug)]
pub struct Gateway<'a> {
    /// Which implementation serves it: the name of a `GatewayClass` of the cluster.
    pub class: &'a str,
    /// Published ports that speak HTTP; the others are TCP or UDP.
    pub http: &'a [u16],
    /// Namespaces whose pods may reach what is published; without, the pods that are labelled as the gateway's.
    pub namespaces: &'a [String],
}

/// What a published port is to a gateway.
struct Kinds {
    listener: &'static str,
    route: &'static str,
    version: &'static str,
}

impl Gateway<'_> {
    fn kinds(&self, publish: &Publish) -> Kinds {
        match publish.protocol {
            Protocol::Udp => Kinds { listener: "UDP", route: "UDPRoute", version: EXPERIMENTAL },
            _ if self.http.contains(&publish.host_port) => {
                Kinds { listener: "HTTP", route: "HTTPRoute", version: STABLE }
            }
            _ => Kinds { listener: "TCP", route: "TCPRoute", version: EXPERIMENTAL },
        }
    }

    /// Who a published port is open to: an implementation's pods, which carry the gateway's name wherever they run.
    pub(super) fn peers(&self, name: &str) -> Vec<Peer> {
        let of_namespace = |namespace: &String| Peer {
            namespace_selector: Some(LabelSelector::of(NAMESPACE_LABEL, namespace)),
            ..Peer::default()
        };
        if !self.namespaces.is_empty() {
            return self.namespaces.iter().map(of_namespace).collect();
        }
        let labelled = LabelSelector { match_labels: gateway::pod_labels(name), ..LabelSelector::default() };
        vec![Peer {
            namespace_selector: Some(LabelSelector::default()),
            pod_selector: Some(labelled),
            ip_block: None,
        }]
    }
}

impl Exporter<'_> {
    /// The gateway and its routes; nothing where no port is published, or none is asked for.
    pub(super) fn gateway(&mut self) -> Vec<Manifest> {
        let Some(gateway) = self.options.gateway else { return Vec::new() };
        for port in gateway.http {
            let is = |publish: &Publish| publish.host_port == *port && publish.protocol == Protocol::Tcp;
            if !self.blueprint.publishes.iter().any(is) {
                self.notes.insert(format!("no TCP port {port} is published: nothing there speaks HTTP"));
            }
        }
        let Some(first) = self.blueprint.publishes.first() else { return Vec::new() };
        if self.blueprint.publishes.len() > LISTENERS_MAX {
            let what = format!("more published ports than a gateway has listeners ({LISTENERS_MAX})");
            self.faults.push(Fault::new(Kind::TooLarge { what }, first.span.clone()));
            return Vec::new();
        }
        let name = self.blueprint.name.clone();
        let mut listeners = Vec::new();
        let mut routes = Vec::new();
        let mut experimental = Vec::new();
        for publish in &self.blueprint.publishes {
            let kinds = gateway.kinds(publish);
            let listener = format!("{}-{}", publish.protocol, publish.host_port);
            if kinds.version == EXPERIMENTAL {
                experimental.push(publish.host_port.to_string());
            }
            listeners.push(Listener {
                name: listener.clone(),
                port: publish.host_port,
                protocol: kinds.listener.into(),
                allowed_routes: AllowedRoutes {
                    kinds: vec![RouteKind { kind: kinds.route.into() }],
                    namespaces: RouteNamespaces { from: "Same".into() },
                },
            });
            let backend = BackendRef { name: self.public_name(publish.to.name()), port: publish.host_port };
            routes.push(Manifest::Route(Object {
                api_version: kinds.version.into(),
                kind: kinds.route.into(),
                metadata: self.metadata(&listener),
                spec: RouteSpec {
                    parent_refs: vec![ParentRef { name: name.clone(), section_name: listener }],
                    rules: vec![RouteRule { backend_refs: vec![backend] }],
                },
            }));
        }
        if !experimental.is_empty() {
            self.notes.insert(format!(
                "routes of TCP and UDP are in the experimental channel of the Gateway API ({} published so); \
                 --http PORT makes a port that speaks HTTP a route of the standard channel",
                experimental.join(", ")
            ));
        }
        let spec = GatewaySpec { gateway_class_name: gateway.class.to_owned(), listeners };
        let metadata = self.metadata(&name);
        let gateway = Object { api_version: STABLE.into(), kind: "Gateway".into(), metadata, spec };
        [Manifest::Gateway(gateway)].into_iter().chain(routes).collect()
    }
}

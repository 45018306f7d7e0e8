//! The part of the Gateway API that weft writes (`gateway.networking.k8s.io`; `v1`, of TCP and UDP routes `v1alpha2`).

use serde::{Deserialize, Serialize};

use super::manifest::Map;

/// Group and version of gateways and of routes of HTTP.
pub const STABLE: &str = "gateway.networking.k8s.io/v1";
/// Group and version of routes of TCP and UDP, which are in the experimental channel of the API.
pub const EXPERIMENTAL: &str = "gateway.networking.k8s.io/v1alpha2";
/// Label of what an implementation makes for a gateway: its pods carry it (GEP-1762).
pub const NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// A `Gateway`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Which implementation serves it.
    pub gateway_class_name: String,
    /// What it listens on.
    pub listeners: Vec<Listener>,
}

/// A port that a gateway listens on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Its name within the gateway.
    pub name: String,
    /// The port.
    pub port: u16,
    /// `HTTP`, `TCP` or `UDP`.
    pub protocol: String,
    /// Which routes may take it.
    pub allowed_routes: AllowedRoutes,
}

/// Which routes may take a listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AllowedRoutes {
    /// Their kinds.
    pub kinds: Vec<RouteKind>,
    /// Their namespaces.
    pub namespaces: RouteNamespaces,
}

/// A kind of route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteKind {
    /// `HTTPRoute`, `TCPRoute` or `UDPRoute`.
    pub kind: String,
}

/// Namespaces of routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteNamespaces {
    /// `Same`: the gateway's own.
    pub from: String,
}

/// An `HTTPRoute`, `TCPRoute` or `UDPRoute`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// The listeners it takes.
    pub parent_refs: Vec<ParentRef>,
    /// Where it leads.
    pub rules: Vec<RouteRule>,
}

/// A listener of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// The gateway.
    pub name: String,
    /// Its listener.
    pub section_name: String,
}

/// Where a route leads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    /// Services; connections are spread over them.
    pub backend_refs: Vec<BackendRef>,
}

/// A port of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BackendRef {
    /// The service.
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// Labels of the pods that an implementation makes for the gateway `name`.
pub fn pod_labels(name: &str) -> Map {
    [(NAME_LABEL.to_owned(), name.to_owned())].into()
}

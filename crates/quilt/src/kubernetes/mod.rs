//! Kubernetes: blueprints written as manifests, and what other manifests' policies let through.
//!
//! ```text
//!  Blueprint ──export──▶ Namespace, Deployment, Job, Service, NetworkPolicy, ConfigMap, Secret, PersistentVolumeClaim, Gateway
//!  manifests ──read──▶ Cluster ──reach──▶ who may reach whom, on which ports
//! ```

pub mod export;
pub mod gateway;
pub mod manifest;
pub mod ports;
pub mod reach;
pub mod read;
pub mod report;

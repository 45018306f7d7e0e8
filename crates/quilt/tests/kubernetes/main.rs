//! Manifests, judged by others: the API's schemas (kubernetes-validate) and what network-config-analyzer makes of
//! their policies.

mod exported;
mod gateway;
mod judges;
mod policies;

//! Traffic classes.

use super::Bess;
use crate::bess::{Failure, pb};

impl Bess {
    pub(crate) fn reset_tcs(&self, _: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn list_tcs(&self, _: &pb::ListTcsRequest) -> Result<pb::ListTcsResponse, Failure> {
        Ok(pb::ListTcsResponse::default())
    }

    pub(crate) fn check_scheduling_constraints(
        &self,
        _: &pb::EmptyRequest,
    ) -> Result<pb::CheckSchedulingConstraintsResponse, Failure> {
        Ok(pb::CheckSchedulingConstraintsResponse::default())
    }

    pub(crate) fn add_tc(&self, _: &pb::AddTcRequest) -> Result<pb::EmptyResponse, Failure> {
        Err(Failure::unsupported("traffic classes"))
    }

    pub(crate) fn update_tc_params(
        &self,
        _: &pb::UpdateTcParamsRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        Err(Failure::unsupported("traffic classes"))
    }

    pub(crate) fn update_tc_parent(
        &self,
        _: &pb::UpdateTcParentRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        Err(Failure::unsupported("traffic classes"))
    }

    pub(crate) fn get_tc_stats(&self, _: &pb::GetTcStatsRequest) -> Result<pb::GetTcStatsResponse, Failure> {
        Err(Failure::unsupported("traffic classes"))
    }
}

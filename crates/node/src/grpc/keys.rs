//! `cartograph.v1.KeyService`.

use cartograph_proto::v1;
use cartograph_proto::v1::key_service_server::KeyService;
use tonic::{Request, Response, Status};

use super::{Door, call};
use crate::clock;
use crate::doors::failure::{Failure, kinds};

#[tonic::async_trait]
impl KeyService for Door {
    async fn execute(
        &self,
        request: Request<v1::ExecuteRequest>,
    ) -> Result<Response<v1::ExecuteResponse>, Status> {
        let started = clock::elapsed();
        let (metadata, _, asked) = request.into_parts();
        let result = async {
            let operation = asked
                .operation
                .ok_or_else(|| Failure::new(kinds::OPERATION, "the operation is missing"))?;
            self.0.execute(call(&metadata)?, operation).await
        }
        .await;
        self.answer("execute", started, result, |reply| v1::ExecuteResponse {
            reply: Some(reply),
        })
    }

    async fn transaction(
        &self,
        request: Request<v1::TransactionRequest>,
    ) -> Result<Response<v1::TransactionResponse>, Status> {
        let started = clock::elapsed();
        let (metadata, _, asked) = request.into_parts();
        let result = async { self.0.transaction(call(&metadata)?, asked.operations).await }.await;
        self.answer("transaction", started, result, |replies| {
            v1::TransactionResponse { replies }
        })
    }
}

//! A stand-in for Google's Terraform provider: it shows the real one's schema and does nothing else.
//!
//! Terraform starts a provider as a process, reads one line with the address of its socket, and speaks gRPC with it.
//! This binary is that process when it is started under the provider's name ([`NAME`]); `terraform test` with
//! `mock_provider` then plans and applies in Terraform itself and asks the provider for its schema and for
//! validation only. Whoever plans for real gets an error: nothing here can reach Google Cloud.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::schema::{Block, Nesting, Schema, Schemas};

/// Generated from `proto/tfplugin5.proto`.
#[expect(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "generated"
)]
#[allow(dead_code, reason = "empty messages that only hold others")]
mod wire {
    tonic::include_proto!("tfplugin5");
}

/// Generated from `proto/plugin.proto`.
#[expect(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "generated"
)]
mod control {
    tonic::include_proto!("plugin");
}

use control::grpc_controller_server::{GrpcController, GrpcControllerServer};
use wire::provider_server::{Provider, ProviderServer};
use wire::schema::nested_block::NestingMode;

/// What the program's file is called in a provider mirror.
pub(crate) const NAME: &str = "terraform-provider-google";

/// The variable that names the schema's file.
pub(crate) const SCHEMA_VARIABLE: &str = "XTASK_TERRAFORM_SCHEMA";

/// Terraform's sign that it is the one who started this process. Public, and no secret.
const COOKIE: (&str, &str) = (
    "TF_PLUGIN_MAGIC_COOKIE",
    "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
);

/// Schemas are megabytes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

struct Stub {
    schemas: Schemas,
}

struct Controller {
    end: watch::Sender<bool>,
}

/// Was this process started as a provider?
pub(crate) fn is_provider(program: &str) -> bool {
    Path::new(program)
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with(NAME))
}

/// Serves until Terraform ends it.
///
/// # Errors
/// When it was not started by Terraform, or cannot read its schema or open its socket.
pub(crate) fn run() -> Result<()> {
    let (variable, value) = COOKIE;
    ensure!(
        std::env::var(variable).is_ok_and(|found| found == value),
        "this is a plugin: Terraform starts it"
    );
    let file = std::env::var(SCHEMA_VARIABLE).with_context(|| format!("{SCHEMA_VARIABLE} is not set"))?;
    let schemas = Schemas::read(Path::new(&file))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(schemas))
}

async fn serve(schemas: Schemas) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("stub").tempdir()?;
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket)?;
    let (end, mut ended) = watch::channel(false);
    // Core protocol 1, provider protocol 5. Without TLS: the caller sets TF_DISABLE_PLUGIN_TLS.
    println!("1|5|unix|{}|grpc|", socket.display());
    let provider = ProviderServer::new(Stub { schemas })
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    tonic::transport::Server::builder()
        .add_service(provider)
        .add_service(GrpcControllerServer::new(Controller { end }))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), async move {
            let _closed = ended.wait_for(|ended| *ended).await;
        })
        .await?;
    Ok(())
}

fn to_wire(schema: &Schema) -> wire::Schema {
    wire::Schema {
        version: schema.version,
        block: Some(block_to_wire(&schema.block)),
    }
}

fn block_to_wire(block: &Block) -> wire::schema::Block {
    let attributes = block
        .attributes
        .iter()
        .map(|(name, attribute)| wire::schema::Attribute {
            name: name.clone(),
            r#type: attribute.kind.to_string().into_bytes(),
            required: attribute.required,
            optional: attribute.optional,
            computed: attribute.computed,
        });
    let block_types = block.block_types.iter().map(|(name, nested)| {
        let nesting = match nested.nesting_mode {
            Nesting::Single => NestingMode::Single,
            Nesting::List => NestingMode::List,
            Nesting::Set => NestingMode::Set,
        };
        wire::schema::NestedBlock {
            type_name: name.clone(),
            block: Some(block_to_wire(&nested.block)),
            nesting: nesting.into(),
            min_items: nested.min_items,
            max_items: nested.max_items,
        }
    });
    wire::schema::Block {
        version: 0,
        attributes: attributes.collect(),
        block_types: block_types.collect(),
    }
}

fn all_to_wire(schemas: &BTreeMap<String, Schema>) -> BTreeMap<String, wire::Schema> {
    let pairs = schemas
        .iter()
        .map(|(name, schema)| (name.clone(), to_wire(schema)));
    pairs.collect()
}

#[tonic::async_trait]
impl Provider for Stub {
    async fn get_schema(
        &self,
        _: Request<wire::get_provider_schema::Request>,
    ) -> Result<Response<wire::get_provider_schema::Response>, Status> {
        Ok(Response::new(wire::get_provider_schema::Response {
            provider: Some(to_wire(&self.schemas.provider)),
            resource_schemas: all_to_wire(&self.schemas.resources),
            data_source_schemas: all_to_wire(&self.schemas.data_sources),
            diagnostics: Vec::new(),
        }))
    }

    async fn prepare_provider_config(
        &self,
        request: Request<wire::prepare_provider_config::Request>,
    ) -> Result<Response<wire::prepare_provider_config::Response>, Status> {
        Ok(Response::new(wire::prepare_provider_config::Response {
            prepared_config: request.into_inner().config,
            diagnostics: Vec::new(),
        }))
    }

    // Terraform itself has checked names, types and numbers of blocks against the schema before it asks; the real
    // provider's validators are not in the schema.
    async fn validate_resource_type_config(
        &self,
        _: Request<wire::validate_config::Request>,
    ) -> Result<Response<wire::validate_config::Response>, Status> {
        Ok(Response::new(wire::validate_config::Response::default()))
    }

    async fn validate_data_source_config(
        &self,
        _: Request<wire::validate_config::Request>,
    ) -> Result<Response<wire::validate_config::Response>, Status> {
        Ok(Response::new(wire::validate_config::Response::default()))
    }

    async fn configure(
        &self,
        _: Request<wire::configure::Request>,
    ) -> Result<Response<wire::configure::Response>, Status> {
        Ok(Response::new(wire::configure::Response::default()))
    }

    async fn stop(&self, _: Request<wire::stop::Request>) -> Result<Response<wire::stop::Response>, Status> {
        Ok(Response::new(wire::stop::Response::default()))
    }
}

#[tonic::async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _: Request<control::Empty>) -> Result<Response<control::Empty>, Status> {
        let _nobody_waits = self.end.send(true);
        Ok(Response::new(control::Empty {}))
    }
}

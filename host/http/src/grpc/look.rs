//! What the server and its models say of themselves.

use foretell_predict::manage::VersionCounts;
use foretell_predict::statistics::Timed;
use foretell_predict::{Call, ModelRef, PredictError};
use foretell_types::Datatype;

use super::infer::reference;
use super::messages::model_metadata_response::TensorMetadata;
use super::messages::{
    DataType, InferBatchStatistics, InferStatistics, ModelConfig, ModelConfigRequest,
    ModelConfigResponse, ModelInput, ModelMetadataRequest, ModelMetadataResponse, ModelOutput,
    ModelReadyRequest, ModelReadyResponse, ModelResponseCache, ModelStatistics,
    ModelStatisticsRequest, ModelStatisticsResponse, ServerLiveRequest, ServerLiveResponse,
    ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
    StatisticDuration,
};
use crate::App;
use crate::reply::Failure;
use crate::routes::described;
use crate::wire::oip;

pub(super) const fn live(_: &App, _: ServerLiveRequest) -> ServerLiveResponse {
    ServerLiveResponse { live: true }
}

/// A server that stops is not ready, which is an answer and no error.
pub(super) fn ready(app: &App, _: ServerReadyRequest) -> ServerReadyResponse {
    ServerReadyResponse {
        ready: app.health.ready(),
    }
}

pub(super) fn server(_: &App, _: ServerMetadataRequest) -> ServerMetadataResponse {
    let this = oip::Server::THIS;
    ServerMetadataResponse {
        name: this.name.into(),
        version: this.version.into(),
        extensions: this.extensions.iter().map(ToString::to_string).collect(),
    }
}

pub(super) async fn model_ready(
    app: App,
    call: Call,
    request: ModelReadyRequest,
) -> Result<ModelReadyResponse, Failure> {
    let model = reference(&request.name, &request.version)?;
    match app.predictor.ready(&call, &model).await {
        Ok(_) => Ok(ModelReadyResponse { ready: true }),
        // Clients ask so to find out.
        Err(PredictError::Unloaded { .. }) => Ok(ModelReadyResponse { ready: false }),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn metadata(
    app: App,
    call: Call,
    request: ModelMetadataRequest,
) -> Result<ModelMetadataResponse, Failure> {
    let wanted = reference(&request.name, &request.version)?;
    let (model, version) = described(&app, &call, &wanted).await?;
    let told = oip::metadata(&model, &version)?;
    let tensor = |tensor: &oip::TensorMetadata<'_>| TensorMetadata {
        name: tensor.name.into(),
        datatype: tensor.datatype.into(),
        shape: tensor.shape.iter().map(|axis| i64::from(*axis)).collect(),
    };
    Ok(ModelMetadataResponse {
        name: told.name.into(),
        versions: told.versions.iter().map(ToString::to_string).collect(),
        platform: told.platform.into(),
        inputs: told.inputs.iter().map(tensor).collect(),
        outputs: told.outputs.iter().map(tensor).collect(),
        properties: told.properties.into(),
    })
}

pub(super) async fn config(
    app: App,
    call: Call,
    request: ModelConfigRequest,
) -> Result<ModelConfigResponse, Failure> {
    let wanted = reference(&request.name, &request.version)?;
    let (_, version) = described(&app, &call, &wanted).await?;
    let told = oip::config(&version);
    let dims = |dims: &[i32]| dims.iter().map(|axis| i64::from(*axis)).collect();
    let inputs = told.input.iter().map(|tensor| ModelInput {
        name: tensor.name.into(),
        data_type: data_type(tensor.datatype).into(),
        dims: dims(tensor.dims),
    });
    let outputs = told.output.iter().map(|tensor| ModelOutput {
        name: tensor.name.into(),
        data_type: data_type(tensor.datatype).into(),
        dims: dims(tensor.dims),
    });
    Ok(ModelConfigResponse {
        config: Some(ModelConfig {
            name: told.name.into(),
            platform: told.platform.into(),
            max_batch_size: told.max_batch_size.try_into().unwrap_or(i32::MAX),
            input: inputs.collect(),
            output: outputs.collect(),
            default_model_filename: told.default_model_filename.into(),
            backend: told.backend.into(),
            response_cache: Some(ModelResponseCache {
                enable: told.response_cache.enable,
            }),
        }),
    })
}

const fn data_type(datatype: Datatype) -> DataType {
    match datatype {
        Datatype::Bool => DataType::TypeBool,
        Datatype::Uint8 => DataType::TypeUint8,
        Datatype::Uint16 => DataType::TypeUint16,
        Datatype::Uint32 => DataType::TypeUint32,
        Datatype::Uint64 => DataType::TypeUint64,
        Datatype::Int8 => DataType::TypeInt8,
        Datatype::Int16 => DataType::TypeInt16,
        Datatype::Int32 => DataType::TypeInt32,
        Datatype::Int64 => DataType::TypeInt64,
        Datatype::Fp16 => DataType::TypeFp16,
        Datatype::Bf16 => DataType::TypeBf16,
        Datatype::Fp32 => DataType::TypeFp32,
        Datatype::Fp64 => DataType::TypeFp64,
        Datatype::Bytes => DataType::TypeString,
    }
}

pub(super) async fn statistics(
    app: App,
    call: Call,
    request: ModelStatisticsRequest,
) -> Result<ModelStatisticsResponse, Failure> {
    let wanted: Option<ModelRef> = match request.name.as_str() {
        "" => None,
        name => Some(reference(name, &request.version)?),
    };
    let counts = app.manager.statistics(&call, wanted.as_ref()).await?;
    Ok(ModelStatisticsResponse {
        model_stats: counts.iter().map(counted).collect(),
    })
}

fn counted(version: &VersionCounts) -> ModelStatistics {
    let counts = &version.counts;
    let timed = |Timed { count, ns }| Some(StatisticDuration { count, ns });
    ModelStatistics {
        name: version.model.to_string(),
        version: version.version.to_string(),
        last_inference: counts.last_inference,
        inference_count: counts.inference_count,
        execution_count: counts.execution_count,
        inference_stats: Some(InferStatistics {
            success: timed(counts.success),
            fail: timed(counts.fail),
            queue: timed(counts.queue),
            compute_input: timed(counts.compute_input),
            compute_infer: timed(counts.compute_infer),
            compute_output: timed(counts.compute_output),
            cache_hit: timed(counts.cache_hit),
            cache_miss: timed(counts.cache_miss),
        }),
        batch_stats: counts
            .batches
            .iter()
            .map(|batch| InferBatchStatistics {
                batch_size: u64::from(batch.rows),
                compute_input: timed(batch.compute_input),
                compute_infer: timed(batch.compute_infer),
                compute_output: timed(batch.compute_output),
            })
            .collect(),
    }
}

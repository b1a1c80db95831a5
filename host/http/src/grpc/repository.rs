//! What models there are, and whether they are in service.

use std::collections::HashMap;

use foretell_predict::manage::UnnamedUpload;
use foretell_predict::{Call, PredictError};

use super::messages::model_repository_parameter::ParameterChoice;
use super::messages::repository_index_response::ModelIndex;
use super::messages::{
    ModelRepositoryParameter, RepositoryIndexRequest, RepositoryIndexResponse,
    RepositoryModelLoadRequest, RepositoryModelLoadResponse, RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse,
};
use crate::App;
use crate::reply::Failure;
use crate::routes::load_model;
use crate::wire::oip;

pub(super) async fn index(
    app: App,
    call: Call,
    request: RepositoryIndexRequest,
) -> Result<RepositoryIndexResponse, Failure> {
    let models = app.manager.list_models(&call).await?;
    let entries = oip::index(&models, request.ready);
    let models = entries.into_iter().map(|entry| ModelIndex {
        name: entry.name.into(),
        version: entry.version.into(),
        state: entry.state.into(),
        reason: entry.reason.into(),
    });
    Ok(RepositoryIndexResponse {
        models: models.collect(),
    })
}

/// The model that is meant: see the message.
fn meant(repository_name: String, model_name: String) -> String {
    if model_name.is_empty() {
        repository_name
    } else {
        model_name
    }
}

/// `upload` is a place among the uploads: the call may be one.
pub(super) async fn load(
    app: App,
    call: Call,
    upload: UnnamedUpload,
    request: RepositoryModelLoadRequest,
) -> Result<RepositoryModelLoadResponse, Failure> {
    let model_name = meant(request.repository_name, request.model_name);
    let loaded = load_or_publish(&app, &call, upload, &model_name, request.parameters).await;
    let act = oip::failed_to_load(&model_name);
    loaded.map_err(|failure| failure.of(&act))?;
    Ok(RepositoryModelLoadResponse {
        model_name,
        is_loaded: true,
    })
}

async fn load_or_publish(
    app: &App,
    call: &Call,
    upload: UnnamedUpload,
    model: &str,
    parameters: HashMap<String, ModelRepositoryParameter>,
) -> Result<(), Failure> {
    let mut files = Vec::new();
    let mut config = None;
    for (name, parameter) in parameters {
        match parameter.parameter_choice {
            Some(ParameterChoice::StringParam(text)) if name == "config" => config = Some(text),
            Some(ParameterChoice::BytesParam(bytes)) if name.starts_with("file:") => {
                files.push((name, bytes));
            }
            // Passed over, as over HTTP.
            _ => {}
        }
    }
    let files = oip::files_of(files, config.as_deref()).map_err(PredictError::from)?;
    Ok(load_model(app, call, upload, model, files).await?)
}

pub(super) async fn unload(
    app: App,
    call: Call,
    request: RepositoryModelUnloadRequest,
) -> Result<RepositoryModelUnloadResponse, Failure> {
    let model_name = meant(request.repository_name, request.model_name);
    app.manager.unload(&call, &model_name).await?;
    Ok(RepositoryModelUnloadResponse {
        model_name,
        is_unloaded: true,
    })
}

//! Whose call a path is.

/// The service's name on the wire.
pub(super) const NAME: &str = "inference.GRPCInferenceService";

/// Whether a call may go on for ever.
pub(crate) fn is_stream(path: &str) -> bool {
    match Route::of(path) {
        Route::Ours(method) => method == Method::ModelStreamInfer,
        Route::Health => path.ends_with("/Watch"),
        Route::Reflection | Route::OlderReflection => true,
        Route::Unknown => false,
    }
}

/// Whose call a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Ours(Method),
    Health,
    Reflection,
    OlderReflection,
    Unknown,
}

impl Route {
    pub(super) fn of(path: &str) -> Self {
        let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.split_once('/'))
        else {
            return Self::Unknown;
        };
        match service {
            NAME => Method::of(method).map_or(Self::Unknown, Self::Ours),
            "grpc.health.v1.Health" => Self::Health,
            "grpc.reflection.v1.ServerReflection" => Self::Reflection,
            "grpc.reflection.v1alpha.ServerReflection" => Self::OlderReflection,
            _ => Self::Unknown,
        }
    }

    pub(super) const fn template(self) -> &'static str {
        match self {
            Self::Ours(method) => method.as_str(),
            Self::Health => "health",
            Self::Reflection | Self::OlderReflection => "reflection",
            Self::Unknown => "none",
        }
    }
}

/// The methods of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    ServerLive,
    ServerReady,
    ServerMetadata,
    ModelReady,
    ModelMetadata,
    ModelConfig,
    ModelStatistics,
    ModelInfer,
    ModelStreamInfer,
    RepositoryIndex,
    RepositoryModelLoad,
    RepositoryModelUnload,
}

impl Method {
    const ALL: [Self; 12] = [
        Self::ServerLive,
        Self::ServerReady,
        Self::ServerMetadata,
        Self::ModelReady,
        Self::ModelMetadata,
        Self::ModelConfig,
        Self::ModelStatistics,
        Self::ModelInfer,
        Self::ModelStreamInfer,
        Self::RepositoryIndex,
        Self::RepositoryModelLoad,
        Self::RepositoryModelUnload,
    ];

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::ServerLive => "ServerLive",
            Self::ServerReady => "ServerReady",
            Self::ServerMetadata => "ServerMetadata",
            Self::ModelReady => "ModelReady",
            Self::ModelMetadata => "ModelMetadata",
            Self::ModelConfig => "ModelConfig",
            Self::ModelStatistics => "ModelStatistics",
            Self::ModelInfer => "ModelInfer",
            Self::ModelStreamInfer => "ModelStreamInfer",
            Self::RepositoryIndex => "RepositoryIndex",
            Self::RepositoryModelLoad => "RepositoryModelLoad",
            Self::RepositoryModelUnload => "RepositoryModelUnload",
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::messages::DESCRIPTORS;
    use super::*;

    #[test]
    fn every_method_of_the_descriptors_is_answered() {
        let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let services = set.file.iter().flat_map(|file| &file.service);
        let methods: Vec<&str> = services.flat_map(|s| &s.method).map(|m| m.name()).collect();
        assert_eq!(methods.len(), Method::ALL.len());
        for method in methods {
            let path = format!("/{NAME}/{method}");
            assert!(matches!(Route::of(&path), Route::Ours(_)), "{path}");
        }
        for path in [
            "",
            "/",
            "x",
            "/inference.GRPCInferenceService/",
            "/a/ModelInfer",
        ] {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
    }
}

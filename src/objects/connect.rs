//! Connecting: from `s3://bucket` and settings to a store.
//!
//! Without credentials nothing is signed, so that public data needs no account, unless the machine
//! is one that its owner gives a role.

use std::sync::Arc;

use object_store::ObjectStore;

use super::Settings;
use crate::error::{Error, Result};

/// Whether a URL lies in Azure's store.
pub(super) fn is_azure(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    matches!(scheme, Some("az" | "azure" | "abfs" | "abfss" | "adl"))
}

/// What to type where a store knows nobody.
pub(super) fn how_to_sign_in(url: &str) -> &'static str {
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("s3" | "s3a") => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE for one of ~/.aws"
        }
        Some("gs") => "set GOOGLE_APPLICATION_CREDENTIALS to the file with the key",
        _ if is_azure(url) => {
            "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_SAS_TOKEN"
        }
        _ => "the server wants a password, which cannot be given: fetch the file first",
    }
}

#[cfg(not(feature = "cloud"))]
pub(super) fn connect(root: &str, _settings: &Settings) -> Result<Arc<dyn ObjectStore>> {
    Err(Error::sql(format!("this build of swath has no object stores, so {root} cannot be read"))
        .hint("build it with the feature `cloud`, or copy the files to a local folder"))
}

/// The store of URLs that begin with `root`.
#[cfg(feature = "cloud")]
pub(super) fn connect(root: &str, settings: &Settings) -> Result<Arc<dyn ObjectStore>> {
    let scheme = root.split_once("://").map_or(root, |(scheme, _)| scheme);
    let store = match scheme {
        "s3" | "s3a" => cloud::amazon(root, settings)?,
        "gs" => cloud::google(root, settings),
        _ if is_azure(root) => cloud::microsoft(root, settings),
        "http" | "https" => cloud::web(root),
        _ => {
            return Err(Error::sql(format!("there are no {scheme}:// locations"))
                .hint("there are s3://, gs://, az://, abfss://, https://, http:// and file://"));
        }
    };
    store.map_err(|error| Error::sql(format!("cannot use {root}: {}", super::reason(&error))))
}

#[cfg(feature = "cloud")]
mod cloud {
    use std::str::FromStr;
    use std::time::Duration;

    use object_store::aws::{AmazonS3Builder, resolve_bucket_region};
    use object_store::azure::MicrosoftAzureBuilder;
    use object_store::gcp::GoogleCloudStorageBuilder;
    use object_store::http::HttpBuilder;
    use object_store::{BackoffConfig, ClientOptions, RetryConfig};

    use super::*;
    use crate::objects::{failed, wait};

    const CONNECT_WAIT: Duration = Duration::from_secs(5);
    /// For one request with all its bytes; readers notice sooner that no more bytes come.
    const REQUEST_WAIT: Duration = Duration::from_secs(300);
    /// The same of a web server, which may have to send a whole file at once.
    const WEB_WAIT: Duration = Duration::from_secs(3600);
    /// A store that is away for longer is an error.
    const RETRY_WAIT: Duration = Duration::from_secs(30);
    const RETRIES_MAX: usize = 6;

    type Made = object_store::Result<Arc<dyn ObjectStore>>;

    pub(super) fn amazon(root: &str, settings: &Settings) -> Result<Made> {
        const SIGNED: [&str; 8] = [
            "aws_access_key_id",
            "aws_web_identity_token_file",
            "aws_container_credentials_relative_uri",
            "aws_container_credentials_full_uri",
            "aws_container_authorization_token_file",
            "aws_metadata_endpoint",
            "aws_skip_signature",
            "aws_instance_role",
        ];
        let has = |name: &str| settings.contains_key(name);
        let endpoint = ["aws_endpoint_url_s3", "aws_endpoint_url", "aws_endpoint"]
            .iter()
            .find_map(|name| settings.get(*name));
        let options = options(endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")));
        let bucket = root.split_once("://").map_or("", |(_, bucket)| bucket);
        let mut builder =
            AmazonS3Builder::new().with_retry(retry()).with_client_options(options.clone());
        for (key, value) in known(settings, "aws_") {
            builder = builder.with_config(key, value);
        }
        // What a setting calls the bucket is not what the user has written.
        builder = builder.with_bucket_name(bucket);
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        } else if !has("aws_region") && !has("aws_default_region") {
            let (asked, of) = (bucket.to_string(), root.to_string());
            let region = wait(async move { resolve_bucket_region(&asked, &options).await })?;
            builder = builder.with_region(region.map_err(|error| {
                failed("find the region of", &of, &error)
                    .hint("set AWS_REGION, or AWS_ENDPOINT_URL for a store of your own")
            })?);
        }
        if !SIGNED.iter().any(|name| has(name)) {
            builder = builder.with_skip_signature(true);
        }
        Ok(builder.build().map(shared))
    }

    pub(super) fn google(root: &str, settings: &Settings) -> Made {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_url(root)
            .with_retry(retry())
            .with_client_options(options(false));
        let mut is_signed = settings.contains_key("google_instance_role");
        for (key, value) in known(settings, "google_") {
            is_signed |= !matches!(key, object_store::gcp::GoogleConfigKey::Bucket);
            builder = builder.with_config(key, value);
        }
        builder.with_skip_signature(!is_signed).build().map(shared)
    }

    pub(super) fn microsoft(root: &str, settings: &Settings) -> Made {
        use object_store::azure::AzureConfigKey as Key;
        let endpoint = settings.get("azure_storage_endpoint");
        let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
            || settings.get("azure_storage_use_emulator").is_some_and(|value| value == "true");
        let mut builder = MicrosoftAzureBuilder::new()
            .with_url(root)
            .with_retry(retry())
            .with_client_options(options(is_plain));
        let mut is_signed = false;
        for (key, value) in known(settings, "azure_") {
            is_signed |= !matches!(key, Key::AccountName | Key::ContainerName | Key::Endpoint);
            builder = builder.with_config(key, value);
        }
        builder.with_skip_signature(!is_signed).build().map(shared)
    }

    pub(super) fn web(root: &str) -> Made {
        HttpBuilder::new()
            .with_url(root)
            .with_retry(retry())
            .with_client_options(options(root.starts_with("http://")).with_timeout(WEB_WAIT))
            .build()
            .map(shared)
    }

    fn shared(store: impl ObjectStore) -> Arc<dyn ObjectStore> {
        Arc::new(store)
    }

    /// The settings of one kind of store, as far as it knows them.
    fn known<K: FromStr>(settings: &Settings, prefix: &str) -> Vec<(K, String)> {
        settings
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .filter_map(|(name, value)| Some((name.parse().ok()?, value.clone())))
            .collect()
    }

    fn options(is_plain: bool) -> ClientOptions {
        ClientOptions::new()
            .with_allow_http(is_plain)
            .with_connect_timeout(CONNECT_WAIT)
            .with_timeout(REQUEST_WAIT)
            .with_user_agent(USER_AGENT)
    }

    const USER_AGENT: object_store::HeaderValue =
        object_store::HeaderValue::from_static(concat!("swath/", env!("CARGO_PKG_VERSION")));

    fn retry() -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_WAIT,
        }
    }
}

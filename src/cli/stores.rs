//! What this machine's user says about object stores: in the environment, and in files that the
//! stores' own tools write.

use std::path::Path;

use configparser::ini::Ini;

use crate::objects::Objects;

/// What Amazon's machines call themselves, and Google's.
const VENDOR_FILES: [(&str, &str, &str); 2] = [
    ("/sys/devices/virtual/dmi/id/sys_vendor", "Amazon EC2", "aws_instance_role"),
    ("/sys/devices/virtual/dmi/id/product_name", "Google Compute Engine", "google_instance_role"),
];

/// The object stores as the user of this process may use them.
pub(super) fn objects() -> Objects {
    Objects::with_lookup(settings)
}

fn settings() -> Vec<(String, String)> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let is_known = ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| name.starts_with(start));
        Some((name, value.into_string().ok().filter(|_| is_known)?))
    });
    let mut settings: Vec<(String, String)> = variables.collect();
    let has = |settings: &[(String, String)], name: &str| {
        settings.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    if let Some(home) = std::env::var_os("HOME") {
        let home = Path::new(&home);
        // A key and its secret belong together.
        let has_key = has(&settings, "aws_access_key_id");
        for (name, value) in amazon_profile(home) {
            let is_of_key =
                name.ends_with("key_id") || name.ends_with("key") || name.ends_with("token");
            if !(has(&settings, name) || is_of_key && has_key) {
                settings.push((name.to_string(), value));
            }
        }
        let google = home.join(".config/gcloud/application_default_credentials.json");
        if !has(&settings, "google_application_credentials") && google.is_file() {
            let path = google.to_string_lossy().into_owned();
            settings.push(("google_application_credentials".to_string(), path));
        }
    }
    for (file, vendor, setting) in VENDOR_FILES {
        if std::fs::read_to_string(file).is_ok_and(|text| text.trim() == vendor) {
            settings.push((setting.to_string(), "true".to_string()));
        }
    }
    settings
}

/// What a profile of Amazon's tools says, `default` if none is named.
fn amazon_profile(home: &Path) -> Vec<(&'static str, String)> {
    const KNOWN: [(&str, &str); 5] = [
        ("aws_access_key_id", "aws_access_key_id"),
        ("aws_secret_access_key", "aws_secret_access_key"),
        ("aws_session_token", "aws_session_token"),
        ("region", "aws_region"),
        ("endpoint_url", "aws_endpoint_url"),
    ];
    let path = |variable: &str, default: &str| {
        std::env::var_os(variable).map_or_else(|| home.join(default), Into::into)
    };
    let profile = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_string());
    let files = [
        (path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), profile.clone()),
        (path("AWS_CONFIG_FILE", ".aws/config"), format!("profile {profile}")),
        (path("AWS_CONFIG_FILE", ".aws/config"), profile),
    ];
    let mut found: Vec<(&str, String)> = Vec::new();
    for (file, section) in files {
        let mut ini = Ini::new_cs();
        if ini.load(&file).is_err() {
            continue;
        }
        for (name, setting) in KNOWN {
            if let Some(value) = ini.get(&section, name)
                && !found.iter().any(|(known, _)| *known == setting)
            {
                found.push((setting, value));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_of_amazons_tools_is_read() {
        let home = tempfile::tempdir().expect("dir");
        std::fs::create_dir(home.path().join(".aws")).expect("dir");
        let write = |name: &str, text: &str| {
            std::fs::write(home.path().join(".aws").join(name), text).expect("written");
        };
        write(
            "credentials",
            "[default]\naws_access_key_id = AK\naws_secret_access_key = a/b+c=\n[x]\naws_access_key_id=no\n",
        );
        write("config", "# mine\n[default]\nregion = eu-west-1\n[profile x]\nregion = us-east-2\n");
        let expected = [
            ("aws_access_key_id", "AK".to_string()),
            ("aws_secret_access_key", "a/b+c=".to_string()),
            ("aws_region", "eu-west-1".to_string()),
        ];
        assert_eq!(amazon_profile(home.path()), expected);
    }
}

//! What registries are told of us, from the engine's usual file (`config.json` of `docker login`).

use std::fs::File;
use std::io;
use std::path::Path;

use bollard::BollardRequest;
use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError as Failed, DockerCredential};
use tracing::warn;

use super::reference::server_of;

/// The credentials for the registry of `image`; `None` where there are none. The file is read anew each time: a login
/// counts from the next pull on.
pub(super) async fn credentials(file: &Path, image: &str) -> Option<DockerCredentials> {
    let (path, server) = (file.to_owned(), server_of(image));
    let read = tokio::task::spawn_blocking(move || read(&path, &server));
    match read.await.unwrap_or_else(|panicked| Err(panicked.to_string())) {
        Ok(credentials) => credentials,
        Err(why) => {
            // Most images need none; where one does, the registry says so.
            warn!("{} is not used: {why}", file.display());
            None
        }
    }
}

/// The request with its login as engines read it: in base64 for URLs. The client writes the standard one, and what an engine
/// cannot read counts as no login.
pub(super) fn with_readable_login(mut request: BollardRequest) -> BollardRequest {
    if let Some(login) = request.headers_mut().get_mut("X-Registry-Auth")
        && let Ok(Ok(readable)) = login.to_str().map(|text| text.replace('+', "-").replace('/', "_").parse())
    {
        *login = readable;
    }
    request
}

fn read(path: &Path, server: &str) -> Result<Option<DockerCredentials>, String> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| error.to_string())?,
    };
    let serveraddress = Some(server.to_owned());
    match docker_credential::get_credential_from_reader(file, server) {
        Ok(DockerCredential::UsernamePassword(username, password)) => Ok(Some(DockerCredentials {
            username: Some(username),
            password: Some(password),
            serveraddress,
            ..DockerCredentials::default()
        })),
        Ok(DockerCredential::IdentityToken(token)) => {
            Ok(Some(DockerCredentials { identitytoken: Some(token), serveraddress, ..DockerCredentials::default() }))
        }
        Err(Failed::NoCredentialConfigured) => Ok(None),
        // Its words may hold what a helper printed: a secret.
        Err(Failed::HelperFailure { helper, .. }) => Err(format!("the credential helper {helper} failed")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    /// What an engine reads of a login that the client has written.
    fn read_by_engine(username: &str, password: &str) -> DockerCredentials {
        let login = DockerCredentials {
            username: Some(username.to_owned()),
            password: Some(password.to_owned()),
            ..DockerCredentials::default()
        };
        let written = BASE64_STANDARD.encode(serde_json::to_string(&login).expect("JSON"));
        let body = bollard::body_full(bytes::Bytes::new());
        let request = http::Request::builder().header("X-Registry-Auth", written).body(body).expect("a request");
        let sent = with_readable_login(request);
        let json = BASE64_URL_SAFE.decode(sent.headers()["X-Registry-Auth"].as_bytes()).expect("base64 for URLs");
        serde_json::from_slice(&json).expect("JSON")
    }

    proptest! {
        #[test]
        fn engines_read_every_login(username in "\\PC{0,9}", password in "[?~>\\PC]{0,20}") {
            let read = read_by_engine(&username, &password);
            prop_assert_eq!((read.username, read.password), (Some(username), Some(password)));
        }
    }

    #[test]
    fn engines_read_a_login_with_question_marks_and_umlauts() {
        for password in ["hunter?2", "???", "~~~", ">>>", "größer", "\u{7f}\u{7f}\u{7f}"] {
            assert_eq!(read_by_engine("me", password).password.as_deref(), Some(password));
        }
    }

    #[test]
    fn a_login_is_found_by_the_name_of_its_registry() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.json");
        assert_eq!(read(&path, "r:5000").expect("no file, no credentials"), None);
        // "me:secret"
        std::fs::write(&path, r#"{"auths": {"r:5000": {"auth": "bWU6c2VjcmV0"}}}"#).expect("written");
        let found = read(&path, "r:5000").expect("read").expect("there");
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("me"), Some("secret")));
        assert_eq!(found.serveraddress.as_deref(), Some("r:5000"));
        assert_eq!(read(&path, "other").expect("read"), None);
        std::fs::write(&path, "{").expect("written");
        assert!(read(&path, "r:5000").is_err());
    }
}

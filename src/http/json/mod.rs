//! The OCPS JSON API below `{base_path}/v1` (contract §4 and §7), for the jobs of the service `ocps`.

mod decode;
mod dress;
mod find;
mod job;
mod jobs;
mod list;
mod logs;
mod object;
mod openapi;
mod phase;
mod property;
mod request;
mod result;
mod routes;

pub(super) use routes::routes;

/// The service whose jobs this API shows.
const SERVICE: &str = "ocps";

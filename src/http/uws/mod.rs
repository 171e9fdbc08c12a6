//! The IVOA UWS 1.1 REST API: `{base_path}/{service}/async` of every configured service, and `/capabilities` beside it.
//!
//! One filter takes everything below `/async`; [`target`] says which resource a path names and `dispatch` gives the
//! request to that resource's file. A job that is not there is 404 before a method that is not there is 405. Every
//! document is one wire struct in `document`, dressed as XML, JSON or a page by what `negotiate` finds the client to be.

mod capabilities;
mod create;
mod dispatch;
mod document;
mod error;
mod examples;
mod fetch;
mod fields;
mod find;
mod html;
mod instant;
mod intake;
mod job;
mod limits;
mod list;
mod main_result;
mod negotiate;
mod parameters;
mod phase;
mod piece;
mod query;
mod result_id;
mod results;
mod routes;
mod scalar;
mod sync;
mod target;
mod wait;
mod work;
mod xml;

pub(super) use routes::routes;

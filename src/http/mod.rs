//! The HTTP side: listeners, the guard before routing, and the routes.
//!
//! A connection comes in through [`serve`]'s accept loop. Each request passes the guard (unknown `Host`, foreign
//! `Origin`), is given its `Caller`, and goes through warp's filters to the handler of its resource. A handler parses
//! into domain types, calls the store or the supervisor's handle once and replies; whatever it refuses is a value that
//! `reply.rs` turns into a status in one table.
//!
//! There are two dialects, which do not know each other: `json`, the OCPS JSON API of the service `ocps`, and `uws`, the
//! IVOA UWS 1.1 API of every service. What both need is beside them: forms, files, links, the writer of XML.

mod accept;
mod admin;
mod attachment;
mod availability;
mod body;
mod counted;
mod detached;
mod extract;
mod file;
mod form;
mod forwarded;
mod front;
mod gone;
mod guard;
mod health;
mod idempotency;
mod json;
mod links;
mod listen;
mod listeners;
mod log;
mod metrics;
mod operations;
mod page;
mod patience;
mod program;
mod range;
mod replica;
mod reply;
mod resource;
mod routes;
mod seconds;
mod server;
mod socket_file;
mod uws;
mod web;
mod xml;

pub use body::Bodies;
pub use listen::{BindError, Passed};
pub use listeners::{Exchange, Listeners, Listening, bind};
pub use server::{Api, Stop, serve};
pub use web::Web;

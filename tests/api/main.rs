//! The HTTP side over a real database and the fake engine, through real sockets: every sentence of its contract.

mod bed;
mod client;
mod exposition;
mod odd_store;
mod uws;

mod bodies;
mod deletion;
mod disk;
mod documents;
mod failures;
mod files;
mod guard;
mod idempotency;
mod inputs;
mod jobs;
mod limits;
mod list;
mod methods;
mod metrics;
mod metrics_documents;
mod operator;
mod sockets;
mod stopping;
mod uws_changes;
mod uws_creation;
mod uws_forms;
mod uws_links;
mod uws_list;
mod uws_results;
mod uws_sequences;
mod uws_sync;
mod uws_typed;
mod uws_uploads;
mod uws_urls;
mod uws_waiting;
